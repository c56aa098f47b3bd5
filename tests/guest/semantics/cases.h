/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CASES_H
#define CASES_H

#include "harness.h"

/* One array per theme, ended by an entry without a name. */
extern const struct semantic_case sharing_cases[];
extern const struct semantic_case private_cases[];
extern const struct semantic_case unmap_cases[];
extern const struct semantic_case remap_cases[];
extern const struct semantic_case protect_cases[];
extern const struct semantic_case process_cases[];
extern const struct semantic_case advice_cases[];
extern const struct semantic_case gup_cases[];
extern const struct semantic_case file_cases[];
extern const struct semantic_case poison_cases[];
extern const struct semantic_case warm_cases[];
extern const struct semantic_case race_cases[];
extern const struct semantic_case inspect_cases[];
extern const struct semantic_case address_cases[];
extern const struct semantic_case mirror_cases[];
extern const struct semantic_case failing_cases[];

#endif
