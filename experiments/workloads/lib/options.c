/* SPDX-License-Identifier: GPL-2.0 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 16

/* What getopt_long() returns: the row's index, and more for --help and the second of two. */
#define INDEX_BASE 256
#define HELP	   1

/* Numbers in words; each call has a buffer of its own among the last few. */
static const char *in_units(const struct option_row *row, unsigned long number)
{
	static char texts[4][32];
	static unsigned int next;
	char *text = texts[next++ % 4];
	int unit = 0;

	while (row->kind == OPTION_IS_SIZE && number && !(number % 1024) && unit < 3) {
		number /= 1024;
		unit++;
	}
	snprintf(text, sizeof(texts[0]), "%lu%.*s", number, unit ? 1 : 0, &"-KMG"[unit]);
	return text;
}

/* What a value may be, in words, or "". */
static void describe_range(const struct option_row *row, char *text, size_t size)
{
	size_t used = 0;

	*text = '\0';
	if (row->kind == OPTION_IS_CHOICE)
		for (const struct option_choice *choice = row->choices; choice->name; choice++)
			used += snprintf(text + used, size - used, "%s%s", used ? ", " : "",
					 choice->name);
	if (row->kind == OPTION_IS_NUMBER || row->kind == OPTION_IS_SIZE)
		used = snprintf(text, size, "%s to %s", in_units(row, row->least),
				in_units(row, row->most));
	if (row->multiple > 1)
		snprintf(text + used, size - used, " in steps of %s", in_units(row, row->multiple));
}

static void describe_names(const struct option_row *row, char *text, size_t size)
{
	if (row->kind == OPTION_IS_OPERAND)
		snprintf(text, size, "%s", row->name);
	else if (row->kind == OPTION_IS_FLAG)
		snprintf(text, size, "--%s%s%s", row->name, row->opposite ? ", --" : "",
			 row->opposite ? row->opposite : "");
	else
		snprintf(text, size, "--%s %s", row->name, row->argument);
}

static void describe_default(const struct option_row *row, char *text, size_t size)
{
	if (!row->initial)
		snprintf(text, size, "required");
	else if (row->kind == OPTION_IS_FLAG && row->opposite)
		snprintf(text, size, "default: --%s", row->name);
	else if (*row->initial)
		snprintf(text, size, "default: %s", row->initial);
	else
		*text = '\0';
}

static _Noreturn void print_help(const char *purpose, const struct option_row *rows, size_t count)
{
	char names[64], range[128], initial[64];
	int width = strlen("--help");

	printf("usage: %s", program_invocation_short_name);
	for (size_t i = 0; i < count; i++) {
		describe_names(&rows[i], names, sizeof(names));
		if ((int)strlen(names) > width)
			width = strlen(names);
		if (!rows[i].initial)
			printf(" %s", names);
	}
	printf(" [OPTION]...\n%s\n\n", purpose);
	for (size_t i = 0; i < count; i++) {
		describe_names(&rows[i], names, sizeof(names));
		describe_range(&rows[i], range, sizeof(range));
		describe_default(&rows[i], initial, sizeof(initial));
		printf("  %-*s  %s", width, names, rows[i].help);
		if (*range || *initial)
			printf(" (%s%s%s)", range, *range && *initial ? "; " : "", initial);
		putchar('\n');
	}
	printf("  %-*s  show this help\n", width, "--help");
	exit(0);
}

void options_refuse(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, " (see %s --help)\n", program_invocation_short_name);
	exit(2);
}

static _Noreturn void refuse_value(const struct option_row *row, const char *text)
{
	char range[128];

	describe_range(row, range, sizeof(range));
	options_refuse("--%s %s: must be %s%s", row->name, text,
		       row->kind == OPTION_IS_CHOICE ? "one of " : "", range);
}

static unsigned long parse_number(const struct option_row *row, const char *text)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || errno)
		refuse_value(row, text);
	if (*end) {
		const char *units = "KMG", *unit = strchr(units, *end);

		if (!unit || end[1] ||
		    __builtin_mul_overflow(number, 1ULL << 10 * (unit - units + 1), &number))
			refuse_value(row, text);
	}
	if (number < row->least || number > row->most || number % row->multiple)
		refuse_value(row, text);
	return number;
}

static unsigned long parse_choice(const struct option_row *row, const char *text)
{
	for (const struct option_choice *choice = row->choices; choice->name; choice++)
		if (!strcmp(text, choice->name))
			return choice->value;
	refuse_value(row, text);
}

/* Store an integer in a target of any size; numbers are little-endian here. */
static void store(const struct option_row *row, unsigned long value)
{
	memcpy(row->target, &value, row->width);
}

static void set(const struct option_row *row, const char *text)
{
	if (row->kind == OPTION_IS_TEXT || row->kind == OPTION_IS_OPERAND)
		*(const char **)row->target = text;
	else if (row->kind == OPTION_IS_CHOICE)
		store(row, parse_choice(row, text));
	else
		store(row, parse_number(row, text));
}

/* What getopt_long() has to know. */
static void list_options(const struct option_row *rows, size_t count, struct option *known)
{
	for (size_t i = 0; i < count; i++) {
		int argument = rows[i].kind == OPTION_IS_FLAG ? no_argument : required_argument;

		if (rows[i].kind == OPTION_IS_OPERAND)
			continue;
		*known++ = (struct option){ rows[i].name, argument, NULL, INDEX_BASE + i };
		if (rows[i].opposite)
			*known++ = (struct option){ rows[i].opposite, argument, NULL,
						    INDEX_BASE + MAX_ROWS + i };
	}
	*known++ = (struct option){ "help", no_argument, NULL, HELP };
	*known = (struct option){ 0 };
}

static void set_defaults(const struct option_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (rows[i].kind == OPTION_IS_FLAG)
			store(&rows[i], rows[i].opposite != NULL);
		else if (rows[i].initial && *rows[i].initial)
			set(&rows[i], rows[i].initial);
	}
}

void options_parse(int argc, char **argv, const char *purpose, const struct option_row *rows,
		   size_t count)
{
	struct option known[2 * MAX_ROWS + 2];
	bool given[MAX_ROWS] = { false };
	int found;

	if (count > MAX_ROWS)
		options_refuse("%zu options, room for %d", count, MAX_ROWS);
	set_defaults(rows, count);
	list_options(rows, count, known);
	while ((found = getopt_long(argc, argv, "", known, NULL)) != -1) {
		size_t i = (size_t)(found - INDEX_BASE) % MAX_ROWS;

		if (found == HELP)
			print_help(purpose, rows, count);
		if (found < INDEX_BASE)
			exit(2); /* getopt_long() has printed why */
		if (rows[i].kind == OPTION_IS_FLAG)
			store(&rows[i], found < INDEX_BASE + MAX_ROWS);
		else
			set(&rows[i], optarg);
		given[i] = true;
	}
	for (size_t i = 0; i < count; i++) {
		bool is_operand = rows[i].kind == OPTION_IS_OPERAND;

		if (is_operand && optind < argc)
			set(&rows[i], argv[optind++]);
		else if (!rows[i].initial && !given[i])
			options_refuse("%s%s is required", is_operand ? "" : "--", rows[i].name);
	}
	if (optind < argc)
		options_refuse("unexpected argument '%s'", argv[optind]);
}
