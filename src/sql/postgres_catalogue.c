/* PostgreSQL's catalogue: what there is, in each database. */
#include "sql/postgres.h"

#include "base/alloc.h"
#include "sql/catalogue.h"

#include <errno.h>
#include <string.h>

/* A boolean. */
static bool is_true(const struct sql_row *row, size_t i)
{
	return catalogue_is(row, i, "t");
}

/* The table's number, or NULL. */
static void put_oid(struct buffer *out, const char *schema, const char *name)
{
	CLEANUP(free) char *database = NULL, *own = NULL;

	postgres_part(schema, &database, &own);
	sql_put(out, "(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
		     " WHERE n.nspname = ");
	postgres_put_text(out, own);
	sql_put(out, " AND c.relname = ");
	postgres_put_text(out, name);
	sql_put(out, " AND c.relkind IN ('r','p'))");
}

/* Send `before`, the table's number and `after`. */
static int send_for_table(struct sql *sql, const char *before, const char *schema, const char *name,
			  const char *after, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};

	sql_put(&text, before);
	put_oid(&text, schema, name);
	sql_put(&text, after);
	return sql_send(sql, &text, why);
}

static int send_text(struct sql *sql, const char *text, struct problem *why)
{
	const struct buffer buffer = {.data = (uint8_t *)text, .size = strlen(text)};

	return sql_send(sql, &buffer, why);
}

/* --- All tables ------------------------------------------------------------------------------- */

static int list_databases(struct sql *sql, struct sql_names *ret, struct problem *why)
{
	size_t schemas = 0, names = 0;
	struct sql_row row;
	int r;

	r = send_text(sql,
		      "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate",
		      why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		xgrow(ret->schemas, ret->count, schemas);
		xgrow(ret->names, ret->count, names);
		ret->schemas[ret->count] = NULL;
		ret->names[ret->count++] = catalogue_text(&row, 0);
	}
	return r;
}

/* A partition's rows are its parent's; what was in unlogged tables the past does not know. */
static int list_tables(struct postgres *postgres, const char *database, struct sql_names *ret,
		       size_t room[2], struct problem *why)
{
	struct sql *sql = &postgres->sql;
	struct sql_row row;
	int r;

	r = postgres_connect(postgres, database, why);
	if (r == 0)
		r = send_text(sql,
			      "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n"
			      " ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p')"
			      " AND NOT c.relispartition AND c.relpersistence = 'p'"
			      " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
			      " AND n.nspname !~ '^pg_toast'",
			      why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		CLEANUP(free) char *schema = catalogue_text(&row, 0);

		xgrow(ret->schemas, ret->count, room[0]);
		xgrow(ret->names, ret->count, room[1]);
		ret->schemas[ret->count] = postgres_join(database, schema);
		ret->names[ret->count++] = catalogue_text(&row, 1);
	}
	return r;
}

struct name {
	char *schema, *name;
};

static int compare_names(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int order = strcmp(x->schema, y->schema);

	return order ? order : strcmp(x->name, y->name);
}

static void sort(struct sql_names *names)
{
	CLEANUP(free) struct name *sorted = xcalloc(names->count, sizeof *sorted);

	for (size_t i = 0; i < names->count; i++)
		sorted[i] = (struct name){names->schemas[i], names->names[i]};
	qsort(sorted, names->count, sizeof *sorted, compare_names);
	for (size_t i = 0; i < names->count; i++) {
		names->schemas[i] = sorted[i].schema;
		names->names[i] = sorted[i].name;
	}
}

int postgres_list(struct sql *sql, struct sql_names *ret, struct problem *why)
{
	CLEANUP(sql_names) struct sql_names databases = {0};
	size_t room[2] = {0};
	int r;

	r = list_databases(sql, &databases, why);
	for (size_t i = 0; i < databases.count && r == 0; i++)
		r = list_tables((struct postgres *)sql, databases.names[i], ret, room, why);
	if (r == 0)
		sort(ret);
	return r;
}

/* What is left of `wanted` behind `part` and a dot; NULL when it does not begin so. */
static const char *behind(const char *wanted, const char *part)
{
	size_t size = strlen(part);

	return !strncmp(wanted, part, size) && wanted[size] == '.' ? wanted + size + 1 : NULL;
}

/* TABLE, SCHEMA.TABLE, DATABASE.TABLE or DATABASE.SCHEMA.TABLE. */
bool postgres_is_named(const char *joined, const char *name, const char *wanted)
{
	CLEANUP(free) char *database = NULL, *schema = NULL;
	const char *rest;

	postgres_part(joined, &database, &schema);
	if (!strcmp(wanted, name))
		return true;
	rest = behind(wanted, schema);
	if (rest && !strcmp(rest, name))
		return true;
	rest = behind(wanted, database);
	if (rest && !strcmp(rest, name))
		return true;
	rest = rest ? behind(rest, schema) : NULL;
	return rest && !strcmp(rest, name);
}

/* --- Columns ---------------------------------------------------------------------------------- */

/* By pg_type's category, which a domain has from what it is made of. */
static enum sql_kind kind_of(const char *category, const char *type)
{
	if (!strcmp(type, "bytea"))
		return SQL_BYTES;
	switch (*category) {
	case 'S':
		return SQL_TEXT;
	case 'D':
	case 'T':
		return SQL_TIME;
	case 'V':
		return SQL_BITS;
	case 'N':
		if (!strncmp(type, "float", 5))
			return SQL_FLOAT;
		if (!strcmp(type, "numeric"))
			return SQL_DECIMAL;
		return !strncmp(type, "int", 3) || !strcmp(type, "oid") ? SQL_INTEGER : SQL_OTHER;
	default:
		return SQL_OTHER;
	}
}

static void read_column(const struct sql_row *row, struct sql_column *column)
{
	CLEANUP(free) char *category = catalogue_text(row, 5);
	CLEANUP(free) char *type = catalogue_text(row, 6);

	*column = (struct sql_column){
		.name = catalogue_text(row, 0),
		.type = catalogue_text(row, 1),
		.collation = catalogue_text_or_null(row, 2),
		.kind = kind_of(category, type),
		.nullable = is_true(row, 3),
		.generated = is_true(row, 4),
		.fixed = is_true(row, 7),
	};
}

/* An enum's words and a domain's type decide what fits into it. */
static int read_columns(struct sql *sql, struct sql_table *table, struct problem *why)
{
	int r;

	r = send_for_table(
		sql,
		"SELECT a.attname, format_type(a.atttypid, a.atttypmod) || CASE t.typtype"
		" WHEN 'e' THEN (SELECT '(' || string_agg(quote_literal(e.enumlabel), ','"
		" ORDER BY e.enumsortorder) || ')' FROM pg_enum e WHERE e.enumtypid = t.oid)"
		" WHEN 'd' THEN ' of ' || format_type(t.typbasetype, t.typtypmod) ELSE '' END,"
		" CASE WHEN a.attcollation <> t.typcollation THEN o.collname END,"
		" NOT a.attnotnull, a.attgenerated <> '', t.typcategory, t.typname,"
		" a.attidentity = 'a' FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
		" LEFT JOIN pg_collation o ON o.oid = a.attcollation WHERE a.attrelid = ",
		table->schema, table->name,
		" AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum", why);
	return r < 0 ? r : catalogue_read_columns(sql, table, read_column, why);
}

/* --- The key ---------------------------------------------------------------------------------- */

/* Not where it is ordered by operators that have no short name. */
static bool is_plain(const struct sql_row *row)
{
	return is_true(row, 2);
}

static int read_key(struct sql *sql, struct sql_table *table, struct problem *why)
{
	CLEANUP(free) char *name = NULL;
	int r;

	r = send_for_table(
		sql,
		"SELECT x.relname, a.attname, o.opcnamespace = 'pg_catalog'::regnamespace"
		" FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid"
		" JOIN pg_am m ON m.oid = x.relam"
		" CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS p(n)"
		" JOIN pg_opclass o ON o.oid = i.indclass[p.n]"
		" LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p.n]"
		" WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL"
		" AND m.amname = 'btree' AND i.indrelid = ",
		table->schema, table->name,
		" ORDER BY NOT i.indisprimary, x.relname COLLATE \"C\", p.n", why);
	return r < 0 ? r : catalogue_read_key(sql, table, is_plain, &name, why);
}

/* --- What else there is ----------------------------------------------------------------------- */

/* What it has counted, or else what would fit into its pages. */
static int read_size(struct sql *sql, struct sql_table *table, struct problem *why)
{
	struct sql_row row;
	int r;

	r = send_for_table(sql,
			   "SELECT CASE WHEN c.reltuples > 0 THEN c.reltuples::bigint"
			   " ELSE pg_relation_size(c.oid) / 100 END, pg_relation_size(c.oid),"
			   " c.relkind = 'r' AND c.relhassubclass FROM pg_class c WHERE c.oid = ",
			   table->schema, table->name, "", why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		table->rows = catalogue_number(&row, 0);
		table->row_bytes = catalogue_number(&row, 1) / (table->rows + 1);
		table->alone = is_true(&row, 2);
	}
	return r;
}

/* Those that are there for subscribers, too: the others are silent (repair_settings). */
static int read_triggers(struct sql *sql, struct sql_table *table, struct problem *why)
{
	struct sql_row row;
	size_t room = 0;
	int r;

	r = send_for_table(sql,
			   "SELECT t.tgname || ' (' || CASE t.tgenabled WHEN 'A' THEN 'ENABLE"
			   " ALWAYS' ELSE 'ENABLE REPLICA' END || ')' FROM pg_trigger t WHERE NOT"
			   " t.tgisinternal AND t.tgenabled IN ('A', 'R') AND t.tgrelid = ",
			   table->schema, table->name, " ORDER BY t.tgname", why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		xgrow(table->triggers, table->trigger_count, room);
		table->triggers[table->trigger_count++] = catalogue_text(&row, 0);
	}
	return r;
}

int postgres_describe(struct sql *sql, struct sql_table *table, struct problem *why)
{
	int r;

	r = read_columns(sql, table, why);
	if (r == 0)
		r = read_key(sql, table, why);
	if (r == 0)
		r = read_size(sql, table, why);
	if (r == 0)
		r = read_triggers(sql, table, why);
	return r;
}

/* --- Foreign keys ----------------------------------------------------------------------------- */

static void add_reference(const struct sql_row *row, const char *database,
			  struct sql_reference **references, size_t *count, size_t *room)
{
	struct sql_reference *last = *count ? &(*references)[*count - 1] : NULL;
	CLEANUP(free)
	char *schema = catalogue_text(row, 1), *parent_schema = catalogue_text(row, 3);
	CLEANUP(free) char *own = postgres_join(database, schema);

	if (!last || !catalogue_is(row, 0, last->name) || strcmp(own, last->schema) != 0 ||
	    !catalogue_is(row, 2, last->table)) {
		xgrow(*references, *count, *room);
		last = &(*references)[(*count)++];
		*last = (struct sql_reference){
			.name = catalogue_text(row, 0),
			.schema = take(own),
			.table = catalogue_text(row, 2),
			.parent_schema = postgres_join(database, parent_schema),
			.parent = catalogue_text(row, 4),
		};
	}
	last->columns = xreallocarray(last->columns, last->count + 1, sizeof *last->columns);
	last->parent_columns =
		xreallocarray(last->parent_columns, last->count + 1, sizeof *last->parent_columns);
	last->columns[last->count] = catalogue_text(row, 5);
	last->parent_columns[last->count++] = catalogue_text(row, 6);
}

#define REFERENCES                                                              \
	"SELECT k.conname, cn.nspname, c.relname, pn.nspname, p.relname,"       \
	" ca.attname, pa.attname FROM pg_constraint k"                          \
	" JOIN pg_class c ON c.oid = k.conrelid"                                \
	" JOIN pg_namespace cn ON cn.oid = c.relnamespace"                      \
	" JOIN pg_class p ON p.oid = k.confrelid"                               \
	" JOIN pg_namespace pn ON pn.oid = p.relnamespace"                      \
	" CROSS JOIN LATERAL unnest(k.conkey, k.confkey)"                       \
	" WITH ORDINALITY AS u(child, parent, n)"                               \
	" JOIN pg_attribute ca ON ca.attrelid = c.oid AND ca.attnum = u.child"  \
	" JOIN pg_attribute pa ON pa.attrelid = p.oid AND pa.attnum = u.parent" \
	" WHERE k.contype = 'f' AND k.conparentid = 0 AND "

int postgres_references(struct sql *sql, const char *schema, const char *name, bool of_parent,
			struct sql_reference **ret, size_t *ret_count, struct problem *why)
{
	CLEANUP(free) char *database = NULL, *own = NULL;
	struct sql_reference *references = NULL;
	size_t count = 0, room = 0;
	struct sql_row row;
	int r;

	postgres_part(schema, &database, &own);
	r = send_for_table(
		sql, of_parent ? REFERENCES "k.confrelid = " : REFERENCES "k.conrelid = ", schema,
		name,
		" ORDER BY cn.nspname COLLATE \"C\", c.relname COLLATE \"C\","
		" k.conname COLLATE \"C\", u.n",
		why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0)
		add_reference(&row, database, &references, &count, &room);
	if (r < 0) {
		sql_references_free(references, count);
		return r;
	}
	*ret = references;
	*ret_count = count;
	return 0;
}

/* --- What nobody has looked after ---------------------------------------------------------------
 */

/*
 * A deferrable constraint is looked after by a trigger, which is silent like the others: two rows
 * may have come to be the same.  A query for each that counts such values; none for those that are
 * no matter of equality.
 */
static int deferrable_constraints(struct sql *sql, const char *schema, const char *name,
				  struct sql_statements *queries, struct sql_statements *names,
				  struct problem *why)
{
	struct sql_row row;
	int r;

	r = send_for_table(
		sql,
		"SELECT k.conname, CASE WHEN k.contype = 'x' THEN NULL ELSE"
		" format('SELECT count(*) FROM (SELECT FROM %s WHERE (%s) IS NOT NULL GROUP BY %s"
		" HAVING count(*) > 1 LIMIT 1) AS twice', k.conrelid::regclass, c.list, c.list) END"
		" FROM pg_constraint k CROSS JOIN LATERAL (SELECT "
		"string_agg(quote_ident(a.attname),"
		" ',') AS list FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum ="
		" ANY (k.conkey)) AS c WHERE k.condeferrable AND k.contype IN ('p', 'u', 'x')"
		" AND k.conrelid = ",
		schema, name, " ORDER BY k.conname", why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		sql_statements_add(names, catalogue_text(&row, 0));
		sql_statements_add(queries, catalogue_text_or_null(&row, 1));
	}
	return r;
}

int postgres_verify(struct sql *sql, const char *schema, const char *name, struct problem *why)
{
	CLEANUP(sql_statements) struct sql_statements queries = {0};
	CLEANUP(sql_statements) struct sql_statements names = {0};
	int64_t twice = 0;
	int r;

	r = deferrable_constraints(sql, schema, name, &queries, &names, why);
	for (size_t i = 0; i < queries.count && r == 0; i++) {
		if (!queries.texts[i])
			return problem(
				why, -EOPNOTSUPP,
				"the constraint \"%s\" is deferrable, which cannot be looked "
				"after here: make it not deferrable first",
				names.texts[i]);
		r = sql_number(sql, queries.texts[i], &twice, why);
		if (r == 0 && twice)
			r = problem(why, -EEXIST,
				    "two rows would have the same value, which the constraint "
				    "\"%s\" does not allow: leave one of them out with --where",
				    names.texts[i]);
	}
	return r;
}

/* --- For a person ----------------------------------------------------------------------------- */

/* A line for each column, constraint, index and trigger, and for who may do what with it. */
static const char lines_of[] =
	") SELECT line FROM ("
	"SELECT 1 AS part, a.attnum::int AS n, format('column %I %s%s%s%s', a.attname,"
	" format_type(a.atttypid, a.atttypmod), CASE WHEN a.attcollation <> t.typcollation"
	" THEN ' collate ' || o.collname END, CASE WHEN a.attnotnull THEN ' not null' END,"
	" CASE WHEN a.attgenerated <> '' THEN ' generated as ' || pg_get_expr(d.adbin, d.adrelid)"
	" WHEN d.adbin IS NOT NULL THEN ' default ' || pg_get_expr(d.adbin, d.adrelid)"
	" WHEN a.attidentity = 'a' THEN ' identity always' WHEN a.attidentity = 'd'"
	" THEN ' identity by default' END) AS line"
	" FROM it JOIN pg_attribute a ON a.attrelid = it.oid JOIN pg_type t ON t.oid = a.atttypid"
	" LEFT JOIN pg_collation o ON o.oid = a.attcollation"
	" LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
	" WHERE a.attnum > 0 AND NOT a.attisdropped"
	" UNION ALL SELECT 2, 0, format('constraint %I %s', k.conname,"
	" pg_get_constraintdef(k.oid)) FROM it JOIN pg_constraint k ON k.conrelid = it.oid"
	" UNION ALL SELECT 3, 0, pg_get_indexdef(i.indexrelid) FROM it"
	" JOIN pg_index i ON i.indrelid = it.oid WHERE NOT EXISTS"
	" (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = it.oid)"
	" UNION ALL SELECT 4, 0, pg_get_triggerdef(g.oid) || CASE g.tgenabled WHEN 'O' THEN ''"
	" ELSE ' enabled ' || g.tgenabled::text END FROM it JOIN pg_trigger g"
	" ON g.tgrelid = it.oid AND NOT g.tgisinternal"
	" UNION ALL SELECT 5, 0, format('comment %L', d.description) FROM it"
	" JOIN pg_description d ON d.objoid = it.oid AND d.classoid = 'pg_class'::regclass"
	" UNION ALL SELECT 6, 0, format('owner %I, privileges %s', pg_get_userbyid(it.relowner),"
	" it.relacl) FROM it) AS lines ORDER BY part, n, line COLLATE \"C\"";

int postgres_show(struct sql *sql, const char *schema, const char *name, char **ret,
		  struct problem *why)
{
	CLEANUP(buffer) struct buffer lines = {0};
	struct sql_row row;
	int r;

	r = send_for_table(sql, "WITH it AS (SELECT * FROM pg_class WHERE oid = ", schema, name,
			   lines_of, why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		CLEANUP(free) char *line = catalogue_text(&row, 0);

		for (char *at = line; *at; at++)
			*at = *at == '\n' ? ' ' : *at;
		sql_putf(&lines, "%s;\n", line);
	}
	if (r < 0)
		return r;
	buffer_put8(&lines, 0);
	*ret = (char *)take(lines.data);
	return 0;
}

/* --- Partitions ------------------------------------------------------------------------------- */

int postgres_partitions(struct sql *sql, const char *schema, const char *name,
			struct sql_names *ret, struct problem *why)
{
	CLEANUP(free) char *database = NULL, *own = NULL;
	size_t schemas = 0, names = 0;
	struct sql_row row;
	int r;

	postgres_part(schema, &database, &own);
	r = send_for_table(
		sql,
		"SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n"
		" ON n.oid = c.relnamespace JOIN (WITH RECURSIVE tree(oid) AS (SELECT ",
		schema, name,
		" UNION ALL SELECT h.inhrelid FROM tree JOIN pg_inherits h"
		" ON h.inhparent = tree.oid JOIN pg_class p ON p.oid = h.inhrelid"
		" AND p.relispartition) SELECT oid FROM tree) AS tree ON tree.oid = c.oid",
		why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		CLEANUP(free) char *part = catalogue_text(&row, 0);

		xgrow(ret->schemas, ret->count, schemas);
		xgrow(ret->names, ret->count, names);
		ret->schemas[ret->count] = postgres_join(database, part);
		ret->names[ret->count++] = catalogue_text(&row, 1);
	}
	return r;
}

/* --- What belongs to a table, and is no part of its dump -------------------------------------- */

/*
 * Extended statistics, its place in publications, and the foreign keys of other tables that refer
 * to it: DROP ... CASCADE took those, too.  They come back where the other table is still there and
 * has none of the name.
 */
static const char beside[] =
	") SELECT line FROM ("
	"SELECT 1 AS part, pg_get_statisticsobjdef(x.oid) AS line FROM it"
	" JOIN pg_statistic_ext x ON x.stxrelid = it.oid"
	" UNION ALL SELECT 2, format('ALTER STATISTICS %I.%I OWNER TO %I', n.nspname, x.stxname,"
	" pg_get_userbyid(x.stxowner)) FROM it JOIN pg_statistic_ext x ON x.stxrelid = it.oid"
	" JOIN pg_namespace n ON n.oid = x.stxnamespace"
	" UNION ALL SELECT 3, format('ALTER PUBLICATION %I ADD TABLE ONLY %s%s%s', p.pubname,"
	" it.oid::regclass, CASE WHEN jsonb_typeof(to_jsonb(r) -> 'prattrs') = 'array' THEN "
	"(SELECT '(' ||"
	" string_agg(quote_ident(a.attname), ',' ORDER BY a.attnum) || ')' FROM pg_attribute a"
	" WHERE a.attrelid = it.oid AND to_jsonb(a.attnum) <@ (to_jsonb(r) -> 'prattrs')) END,"
	" ' WHERE (' || (to_jsonb(t) ->> 'rowfilter') || ')')"
	" FROM it JOIN pg_publication_rel r ON r.prrelid = it.oid"
	" JOIN pg_publication p ON p.oid = r.prpubid"
	" JOIN pg_publication_tables t ON t.pubname = p.pubname AND t.tablename = it.relname"
	" AND quote_ident(t.schemaname) = it.relnamespace::regnamespace::text"
	" UNION ALL SELECT 4, format('DO %L', format('BEGIN IF to_regclass(%L) IS NOT NULL AND NOT"
	" EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass(%L) AND conname = %L)"
	" THEN ALTER TABLE %s ADD CONSTRAINT %I %s; END IF; END', k.conrelid::regclass,"
	" k.conrelid::regclass, k.conname, k.conrelid::regclass, k.conname,"
	" pg_get_constraintdef(k.oid))) FROM it JOIN pg_constraint k ON k.confrelid = it.oid"
	" AND k.contype = 'f' AND k.conrelid <> it.oid AND k.conparentid = 0"
	") AS lines ORDER BY part, line COLLATE \"C\"";

int postgres_beside(struct sql *sql, const char *schema, const char *name,
		    struct sql_statements *ret, struct problem *why)
{
	struct sql_row row;
	int r;

	r = send_for_table(sql, "WITH it AS (SELECT * FROM pg_class WHERE oid = ", schema, name,
			   beside, why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0)
		sql_statements_add(ret, catalogue_text(&row, 0));
	return r;
}

/* --- Automatic numbers ------------------------------------------------------------------------ */

/* Never back: numbers given since would be given again. */
static void put_number(struct sql_statements *ret, const struct sql_row *row)
{
	CLEANUP(free) char *schema = catalogue_text(row, 0), *name = catalogue_text(row, 1);
	CLEANUP(free) char *value = catalogue_text(row, 3);
	CLEANUP(buffer) struct buffer sequence = {0}, text = {0};

	dialect_put_name(&sequence, '"', schema);
	buffer_put8(&sequence, '.');
	dialect_put_name(&sequence, '"', name);
	buffer_put8(&sequence, 0);
	sql_put(&text, "SELECT setval(");
	postgres_put_text(&text, (char *)sequence.data);
	sql_putf(&text,
		 ", %s) FROM %s WHERE last_value %c %s OR (last_value = %s AND NOT is_called)",
		 value, (char *)sequence.data, is_true(row, 2) ? '<' : '>', value, value);
	buffer_put8(&text, 0);
	sql_statements_add(ret, (char *)take(text.data));
}

/* A sequence that has given no number yet has no last one. */
int postgres_numbers(struct sql *sql, const char *schema, const char *name,
		     struct sql_statements *ret, struct problem *why)
{
	struct sql_row row;
	int r;

	r = send_for_table(sql,
			   "SELECT n.nspname, s.relname, q.seqincrement > 0,"
			   " pg_sequence_last_value(s.oid) FROM pg_depend d"
			   " JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'"
			   " JOIN pg_namespace n ON n.oid = s.relnamespace"
			   " JOIN pg_sequence q ON q.seqrelid = s.oid"
			   " WHERE d.classid = 'pg_class'::regclass"
			   " AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')"
			   " AND d.refobjid = ",
			   schema, name, " ORDER BY d.refobjsubid, s.relname", why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0)
		if (row.values[3].data)
			put_number(ret, &row);
	return r;
}
