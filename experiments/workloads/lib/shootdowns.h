/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SHOOTDOWNS_H
#define SHOOTDOWNS_H

/*
 * TLB shootdowns: how often a processor was interrupted to flush its TLB for another one. The line
 * "TLB:" of /proc/interrupts, summed over processors.
 */
long shootdowns(void);

#endif
