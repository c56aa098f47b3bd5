/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Command-line options from a table: one row holds an option's name, default, range and help.
 *
 *	const struct option_row rows[] = {
 *		OPTION_TEXT("file", &options->file, NULL, "PATH", "the DAX file"),
 *		OPTION_NUMBER("workers", &options->workers, "8", 1, 1024, "processes that work"),
 *		OPTION_CHOICE("load", &options->load, "fault", loads, "what each of them does"),
 *		OPTION_FLAG("private", &options->private, "map privately"),
 *	};
 *
 *	options_parse(argc, argv, "What the program measures.", rows, ARRAY_SIZE(rows));
 *
 * --help prints the table and exits with status 0. Any mistake prints one line and exits with
 * status 2. A target may be an integer or an enumeration of any size.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* A word and what it stands for; a table of them ends with { 0 }. */
struct option_choice {
	const char *name;
	unsigned long value;
};

enum option_kind {
	OPTION_IS_TEXT,
	OPTION_IS_OPERAND,
	OPTION_IS_NUMBER,
	OPTION_IS_SIZE,
	OPTION_IS_CHOICE,
	OPTION_IS_FLAG,
};

struct option_row {
	enum option_kind kind;
	const char *name;
	void *target;
	size_t width;
	/* The default as it would be typed; NULL: the option is required; "": there is none. */
	const char *initial;
	const char *argument, *help;
	unsigned long least, most, multiple;
	const struct option_choice *choices;
	/* Of a flag: the option that turns it off again; then it is on by default. */
	const char *opposite;
};

#define OPTION_ROW(type, option, into, text)                                                \
	.kind = OPTION_IS_##type, .name = option, .target = into, .width = sizeof(*(into)), \
	.help = text
#define OPTION_VALUE(value, word)    .initial = value, .argument = word
#define OPTION_RANGE(from, to, unit) .least = from, .most = to, .multiple = unit

#define OPTION_TEXT(option, into, value, word, text) \
	{ OPTION_ROW(TEXT, option, into, text), OPTION_VALUE(value, word) }

/* A word that is no option: the program's operand. */
#define OPTION_OPERAND(word, into, text) { OPTION_ROW(OPERAND, word, into, text) }

/* Numbers may be in units of K, M or G. */
#define OPTION_NUMBER(option, into, value, from, to, text)                  \
	{ OPTION_ROW(NUMBER, option, into, text), OPTION_VALUE(value, "N"), \
	  OPTION_RANGE(from, to, 1) }

/* A number of bytes, of which only multiples of `unit` will do. */
#define OPTION_SIZE(option, into, value, from, to, unit, text)                \
	{ OPTION_ROW(SIZE, option, into, text), OPTION_VALUE(value, "BYTES"), \
	  OPTION_RANGE(from, to, unit) }

#define OPTION_CHOICE(option, into, value, words, text) \
	{ OPTION_ROW(CHOICE, option, into, text), OPTION_VALUE(value, "NAME"), .choices = words }

#define OPTION_FLAG(option, into, text) { OPTION_ROW(FLAG, option, into, text), .initial = "" }

/* Two options for one flag: `option` sets it, which is the default, and `other` clears it. */
#define OPTION_EITHER(option, other, into, text) \
	{ OPTION_ROW(FLAG, option, into, text), .initial = "", .opposite = other }

/* Set all targets to their defaults, and then to what the command line says. */
void options_parse(int argc, char **argv, const char *purpose, const struct option_row *rows,
		   size_t count);

/* Refuse a combination of options: one line, and exit status 2. */
__attribute__((format(printf, 1, 2))) _Noreturn void options_refuse(const char *format, ...);

#endif
