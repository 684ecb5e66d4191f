/*
 * Goal: names, values and statements are read and written exactly, whatever is in them.  Method:
 * the halves of PostgreSQL's dialect that need no server; postgres_repair_model_test.py has
 * servers.
 */
#include "base/alloc.h"
#include "sql/postgres.h"

#include "tap.h"

#include <string.h>

static const char *const names[] = {"shop",     "Shop",    "a.b", "a\"b",  "\"", "\"\"",
				    "it's",     "1st",     "a b", "",      ".",  "\n",
				    "\xc3\xbc", "a\".\"b", "$1?", "public"};

static void a_database_and_a_schema_come_apart_as_they_were_joined(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (size_t j = 0; j < ARRAY_SIZE(names); j++) {
			CLEANUP(free) char *joined = postgres_join(names[i], names[j]);
			CLEANUP(free) char *database = NULL, *schema = NULL;

			postgres_part(joined, &database, &schema);
			check(!strcmp(database, names[i]) && !strcmp(schema, names[j]), "%s",
			      joined);
		}
}

static void names_that_need_no_quotes_have_none(void)
{
	CLEANUP(free) char *joined = postgres_join("shop", "public");

	check(!strcmp(joined, "shop.public"), "%s", joined);
}

static void a_table_is_meant_by_its_name_and_by_each_of_what_it_is_in(void)
{
	static const char *const meant[] = {"Users", "public.Users", "shop.Users",
					    "shop.public.Users"};
	static const char *const not_meant[] = {"users",
						"public.users",
						"sho.Users",
						"public",
						"shop.public",
						"shop.other.Users",
						".Users",
						"",
						"shop.public.Users.",
						"public.shop.Users"};

	for (size_t i = 0; i < ARRAY_SIZE(meant); i++)
		check(postgres_is_named("shop.public", "Users", meant[i]), "%s", meant[i]);
	for (size_t i = 0; i < ARRAY_SIZE(not_meant); i++)
		check(!postgres_is_named("shop.public", "Users", not_meant[i]), "%s", not_meant[i]);
	check(postgres_is_named("\"a.b\".\"c\"\"d\"", "e.f", "a.b.c\"d.e.f"));
	check(postgres_is_named("\"a.b\".c", "e.f", "a.b.e.f"));
}

static void only_what_stands_outside_of_quotes_is_a_placeholder(void)
{
	static const char text[] = "SET \"a?\"=?, \"b\"\"?\"='?''?' WHERE ?=?";
	const struct buffer in = {.data = (uint8_t *)text, .size = strlen(text)};
	CLEANUP(buffer) struct buffer out = {0};

	postgres_number_placeholders(&in, &out);
	check(!strcmp((char *)out.data, "SET \"a?\"=$1, \"b\"\"?\"='?''?' WHERE $2=$3"), "%s",
	      (char *)out.data);
}

static bool is_put(void (*put)(struct buffer *, const struct sql_column *,
			       const struct sql_value *),
		   const struct sql_column *column, const char *value, const char *wanted)
{
	const struct sql_value given = {value, value ? strlen(value) : 0};
	CLEANUP(buffer) struct buffer out = {0};

	put(&out, column, &given);
	buffer_put8(&out, 0);
	if (strcmp((char *)out.data, wanted) != 0)
		printf("# %s\n", (char *)out.data);
	return !strcmp((char *)out.data, wanted);
}

static void values_are_quoted_and_null_is_not_a_word(void)
{
	char name[] = "c\"?";
	const struct sql_column column = {.name = name, .kind = SQL_TEXT};

	check(is_put(postgres_put_given, &column, "it's \\ NULL", "'it''s \\ NULL'"));
	check(is_put(postgres_put_given, &column, NULL, "NULL"));
	check(is_put(postgres_put_given, &column, "", "''"));
	check(is_put(postgres_put_same, &column, "x",
		     "\"c\"\"?\"::text COLLATE \"C\" IS NOT DISTINCT FROM 'x'"));
}

static void bytes_are_shown_as_what_they_are(void)
{
	const struct sql_column column = {.kind = SQL_BYTES};
	const struct sql_value value = {"\\x00ff7a", 8};
	CLEANUP(buffer) struct buffer out = {0};

	postgres_put_shown(&out, &column, &value);
	check(out.size == 3 && !memcmp(out.data, "\0\xffz", 3));
}

/* --- What pg_dump prints ---------------------------------------------------------------------- */

static const char dumped[] =
	"--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n"
	"-- Dumped from database version 15\n\nSET statement_timeout = 0;\n"
	"SELECT pg_catalog.set_config('search_path', '', false);\nSET default_tablespace = "
	"'x;y';\n\n"
	"--\n-- Name: a;b; Type: TABLE\n--\n\nCREATE TABLE public.\"a;b\" (\n"
	"    c text DEFAULT ';''; --'::text,\n    \"d\"\";\" integer\n);\n\n\n"
	"COMMENT ON TABLE public.\"a;b\" IS 'first\n-- second;\n\\restrict abc\nthird';\n"
	"CREATE RULE r AS ON INSERT TO x DO (SELECT $$;'$$, $q$;$$;$q$);\n"
	"\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n";

static void a_dump_is_taken_apart_at_the_ends_of_its_statements_only(void)
{
	static const char *const wanted[] = {
		"SET default_tablespace = 'x;y'",
		"CREATE TABLE public.\"a;b\" (\n    c text DEFAULT ';''; --'::text,\n    "
		"\"d\"\";\" "
		"integer\n)",
		"COMMENT ON TABLE public.\"a;b\" IS 'first\n-- second;\n\\restrict abc\nthird'",
		"CREATE RULE r AS ON INSERT TO x DO (SELECT $$;'$$, $q$;$$;$q$)",
	};
	CLEANUP(sql_statements) struct sql_statements found = {0};

	postgres_split(dumped, &found);
	check(found.count == ARRAY_SIZE(wanted), "%zu", found.count);
	for (size_t i = 0; i < found.count && i < ARRAY_SIZE(wanted); i++)
		check(!strcmp(found.texts[i], wanted[i]), "%s", found.texts[i]);
}

static void a_dump_that_is_cut_off_anywhere_is_no_more_than_fewer_statements(void)
{
	for (size_t size = 0; size < sizeof dumped; size++) {
		CLEANUP(free) char *text = xcheck(strndup(dumped, size));
		CLEANUP(sql_statements) struct sql_statements found = {0};

		postgres_split(text, &found);
		check(found.count <= 4, "%zu of %zu bytes", found.count, size);
	}
}

int main(void)
{
	RUN(a_database_and_a_schema_come_apart_as_they_were_joined);
	RUN(names_that_need_no_quotes_have_none);
	RUN(a_table_is_meant_by_its_name_and_by_each_of_what_it_is_in);
	RUN(only_what_stands_outside_of_quotes_is_a_placeholder);
	RUN(values_are_quoted_and_null_is_not_a_word);
	RUN(bytes_are_shown_as_what_they_are);
	RUN(a_dump_is_taken_apart_at_the_ends_of_its_statements_only);
	RUN(a_dump_that_is_cut_off_anywhere_is_no_more_than_fewer_statements);
	return tap_done();
}
