/* SPDX-License-Identifier: GPL-2.0 */
#include "cases.h"
#include "scene.h"
const struct semantic_case protect_cases[] = {
	{ 0 }
};
