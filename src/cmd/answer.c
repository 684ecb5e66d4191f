#include "cmd/answer.h"

#include "base/alloc.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <string.h>

struct cell {
	char *text; /* NULL: NULL */
	size_t size, width;
};

struct answer {
	enum answer_format format;
	FILE *out;
	unsigned count; /* of the columns of the statement whose rows come; 0: none yet */
	uint64_t rows;
	struct engine_column *columns;
	/* Of a table: what is to be written once all widths are known, row after row. */
	struct cell *cells;
	size_t cell_count, cell_room;
};

static void forget(struct answer *answer)
{
	for (unsigned i = 0; i < answer->count; i++)
		free((char *)answer->columns[i].name);
	free(take(answer->columns));
	for (size_t i = 0; i < answer->cell_count; i++)
		free(answer->cells[i].text);
	answer->cell_count = 0;
	answer->count = 0;
	answer->rows = 0;
}

struct answer *answer_new(enum answer_format format, FILE *out)
{
	struct answer *answer = xcalloc(1, sizeof *answer);

	answer->format = format;
	answer->out = out;
	return answer;
}

void answer_free(struct answer *answer)
{
	if (!answer)
		return;
	forget(answer);
	free(answer->cells);
	free(answer);
}

/* --- CSV -------------------------------------------------------------------------------------- */

static void put_csv(FILE *out, const char *text, size_t size)
{
	bool plain = size > 0;

	for (size_t i = 0; i < size && plain; i++)
		plain = !strchr("\",\r\n", text[i]) && text[i];
	if (plain) {
		fwrite(text, 1, size, out);
		return;
	}
	fputc('"', out);
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '"')
			fputc('"', out);
		fputc(text[i], out);
	}
	fputc('"', out);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static char *as_hexadecimal(const char *bytes, size_t size)
{
	char *text = xmalloc(2 * size + 3), *at = stpcpy(text, "0x");

	for (size_t i = 0; i < size; i++)
		at += sprintf(at, "%02x", (uint8_t)bytes[i]);
	return text;
}

static void put_json_text(FILE *out, const char *text, size_t size)
{
	CLEANUP(free) char *digits = NULL, *encoded = NULL;
	json_t *string = json_stringn(text, size);

	if (!string) {
		digits = as_hexadecimal(text, size);
		string = json_string(digits);
	}
	encoded = json_dumps(string, JSON_ENCODE_ANY);
	fputs(encoded ? encoded : "\"\"", out);
	json_decref(string);
}

static void put_json_row(struct answer *answer, const char *const *values, const size_t *sizes)
{
	fputs(answer->rows ? ",\n {" : "[{", answer->out);
	for (unsigned i = 0; i < answer->count; i++) {
		const struct engine_column *column = &answer->columns[i];

		fputs(i ? ", " : "", answer->out);
		put_json_text(answer->out, column->name, strlen(column->name));
		fputs(": ", answer->out);
		if (!values[i])
			fputs("null", answer->out);
		else if (column->number)
			fwrite(values[i], 1, sizes[i], answer->out);
		else
			put_json_text(answer->out, values[i], sizes[i]);
	}
	fputc('}', answer->out);
}

/* --- A table ---------------------------------------------------------------------------------- */

/* Characters of UTF-8; other bytes are one each. */
static size_t width_of(const char *text, size_t size)
{
	size_t width = 0;

	for (size_t i = 0; i < size; i++)
		width += (text[i] & 0xc0) != 0x80;
	return width;
}

static void add_cell(struct answer *answer, const char *text, size_t size)
{
	struct cell *cell;

	xgrow(answer->cells, answer->cell_count, answer->cell_room);
	cell = &answer->cells[answer->cell_count++];
	*cell = (struct cell){0};
	if (!text) {
		text = "NULL";
		size = strlen(text);
	}
	cell->text = xmalloc(size + 1);
	cell->size = size;
	for (size_t i = 0; i < size; i++)
		cell->text[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
	cell->text[size] = 0;
	cell->width = width_of(cell->text, size);
}

static void put_rule(struct answer *answer, const size_t *widths)
{
	for (unsigned i = 0; i < answer->count; i++) {
		fputc('+', answer->out);
		for (size_t n = 0; n < widths[i] + 2; n++)
			fputc('-', answer->out);
	}
	fputs("+\n", answer->out);
}

static void put_cells(struct answer *answer, const struct cell *cells, const size_t *widths,
		      bool head)
{
	for (unsigned i = 0; i < answer->count; i++) {
		int pad = (int)(widths[i] - cells[i].width);
		bool right = answer->columns[i].number && !head;

		fprintf(answer->out, "| %*s%s%*s ", right ? pad : 0, "", cells[i].text,
			right ? 0 : pad, "");
	}
	fputs("|\n", answer->out);
}

static void put_table(struct answer *answer)
{
	CLEANUP(free) size_t *widths = xcalloc(answer->count, sizeof *widths);

	for (size_t i = 0; i < answer->cell_count; i++)
		widths[i % answer->count] = MAX(widths[i % answer->count], answer->cells[i].width);
	put_rule(answer, widths);
	for (size_t i = 0; i < answer->cell_count; i += answer->count) {
		put_cells(answer, answer->cells + i, widths, i == 0);
		if (i == 0)
			put_rule(answer, widths);
	}
	if (answer->rows)
		put_rule(answer, widths);
	fprintf(answer->out, "%llu row%s\n", (unsigned long long)answer->rows,
		answer->rows == 1 ? "" : "s");
}

/* --- All of them ------------------------------------------------------------------------------ */

static void end_statement(struct answer *answer)
{
	if (!answer->count)
		return;
	if (answer->format == ANSWER_JSON)
		fputs(answer->rows ? "]\n" : "[]\n", answer->out);
	if (answer->format == ANSWER_TABLE)
		put_table(answer);
	forget(answer);
}

static int on_columns(const struct engine_column *columns, unsigned count, void *arg)
{
	struct answer *answer = arg;

	end_statement(answer);
	answer->columns = xcalloc(count, sizeof *columns);
	answer->count = count;
	for (unsigned i = 0; i < count; i++) {
		const char *name = columns[i].name;

		answer->columns[i] = (struct engine_column){xstrdup(name), columns[i].number};
		if (answer->format == ANSWER_CSV) {
			fputs(i ? "," : "", answer->out);
			put_csv(answer->out, name, strlen(name));
		}
		if (answer->format == ANSWER_TABLE)
			add_cell(answer, name, strlen(name));
	}
	if (answer->format == ANSWER_CSV)
		fputc('\n', answer->out);
	return ferror(answer->out) ? -EIO : 0;
}

static int on_row(const char *const *values, const size_t *sizes, unsigned count, void *arg)
{
	struct answer *answer = arg;

	if (answer->format == ANSWER_JSON)
		put_json_row(answer, values, sizes);
	for (unsigned i = 0; i < count && answer->format == ANSWER_TABLE; i++)
		add_cell(answer, values[i], sizes[i]);
	for (unsigned i = 0; i < count && answer->format == ANSWER_CSV; i++) {
		fputs(i ? "," : "", answer->out);
		if (values[i])
			put_csv(answer->out, values[i], sizes[i]);
	}
	if (answer->format == ANSWER_CSV)
		fputc('\n', answer->out);
	answer->rows++;
	return ferror(answer->out) ? -EIO : 0;
}

struct engine_answer answer_callbacks(struct answer *answer)
{
	return (struct engine_answer){.columns = on_columns, .row = on_row, .arg = answer};
}

int answer_end(struct answer *answer)
{
	end_statement(answer);
	return fflush(answer->out) != 0 || ferror(answer->out) ? -EIO : 0;
}
