/* What a query answers is written so that others read the same again. */
#include "tap.h"

#include "base/alloc.h"
#include "cmd/answer.h"

#include <stdlib.h>

static const struct engine_column columns[] = {{"id", true}, {"the \"name\"", false}};

/* Two rows of two columns: a number and a text each; NULL is NULL. */
static char *write_rows(enum answer_format format, const char *a, size_t a_size, const char *b)
{
	CLEANUP(answer) struct answer *answer = NULL;
	const char *first[] = {"1", a}, *second[] = {NULL, b};
	size_t first_sizes[] = {1, a_size}, second_sizes[] = {0, b ? strlen(b) : 0};
	struct engine_answer to;
	size_t size;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	answer = answer_new(format, out);
	to = answer_callbacks(answer);
	check(to.columns(columns, 2, to.arg) == 0 && to.row(first, first_sizes, 2, to.arg) == 0 &&
	      to.row(second, second_sizes, 2, to.arg) == 0 && answer_end(answer) == 0);
	fclose(out);
	return text;
}

static void is_written(enum answer_format format, const char *a, size_t a_size, const char *b,
		       const char *expected)
{
	CLEANUP(free) char *text = write_rows(format, a, a_size, b);

	check(strcmp(text, expected) == 0, "%s", text);
}

static void csv_quotes_what_would_be_misread_and_tells_null_from_empty(void)
{
	is_written(ANSWER_CSV, "a,\"b\"\nc", 7, "plain",
		   "id,\"the \"\"name\"\"\"\n1,\"a,\"\"b\"\"\nc\"\n,plain\n");
	is_written(ANSWER_CSV, "", 0, NULL, "id,\"the \"\"name\"\"\"\n1,\"\"\n,\n");
}

static void json_keeps_numbers_nulls_and_bytes_that_are_no_text(void)
{
	is_written(ANSWER_JSON, "\xff\0x", 3, NULL,
		   "[{\"id\": 1, \"the \\\"name\\\"\": \"0xff0078\"},\n"
		   " {\"id\": null, \"the \\\"name\\\"\": null}]\n");
	is_written(ANSWER_JSON, "\xc3\xa4\n", 3, "",
		   "[{\"id\": 1, \"the \\\"name\\\"\": \"\xc3\xa4\\n\"},\n"
		   " {\"id\": null, \"the \\\"name\\\"\": \"\"}]\n");
}

static void a_table_is_aligned_by_characters_and_has_no_control_characters(void)
{
	is_written(ANSWER_TABLE, "\xc3\xa4\x1b[2J", 6, NULL,
		   "+------+------------+\n"
		   "| id   | the \"name\" |\n"
		   "+------+------------+\n"
		   "|    1 | \xc3\xa4?[2J      |\n"
		   "| NULL | NULL       |\n"
		   "+------+------------+\n"
		   "2 rows\n");
}

static void each_statement_has_its_own_answer_and_one_without_rows_has_an_empty_one(void)
{
	CLEANUP(answer) struct answer *answer = NULL;
	struct engine_answer to;
	size_t size;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	answer = answer_new(ANSWER_JSON, out);
	to = answer_callbacks(answer);
	check(to.columns(columns, 1, to.arg) == 0 && to.columns(columns, 1, to.arg) == 0);
	check(to.row((const char *[]){"5"}, (size_t[]){1}, 1, to.arg) == 0);
	check(answer_end(answer) == 0);
	fclose(out);
	check(strcmp(text, "[]\n[{\"id\": 5}]\n") == 0, "%s", text);
	free(text);
}

int main(void)
{
	RUN(csv_quotes_what_would_be_misread_and_tells_null_from_empty);
	RUN(json_keeps_numbers_nulls_and_bytes_that_are_no_text);
	RUN(a_table_is_aligned_by_characters_and_has_no_control_characters);
	RUN(each_statement_has_its_own_answer_and_one_without_rows_has_an_empty_one);
	return tap_done();
}
