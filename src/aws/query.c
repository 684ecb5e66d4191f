#include "aws/query.h"

#include "aws/text.h"
#include "base/alloc.h"

#include <ctype.h>
#include <errno.h>

#define DEPTH_MAX 32

/*
 * The fields are put in the order of their names, numbers by value: then whatever belongs to one
 * member is one run of fields, and lists come in order, whatever gaps their numbers have.
 */
struct reader {
	const struct form_field **fields;
	struct problem *why;
	unsigned depth;
};

/* A run of fields whose names are the same up to `at`, where the next word begins; a name that
 * ended there has at == name_size + 1. */
struct run {
	unsigned first, end;
	unsigned at;
};

struct word {
	const char *text;
	unsigned size;
	bool number;
};

static struct word word_at(const struct form_field *field, unsigned at)
{
	const char *text = field->name + at, *dot = memchr(text, '.', field->name_size - at);
	struct word word = {text, dot ? (unsigned)(dot - text) : field->name_size - at, true};

	for (unsigned i = 0; i < word.size; i++)
		word.number &= isdigit((unsigned char)text[i]) != 0;
	/* "01" is none, or it would be the same as "1" and yet another word. */
	word.number &= word.size == 1 || (word.size > 1 && *text != '0');
	return word;
}

static bool ends(const struct form_field *field, unsigned at)
{
	return at > field->name_size;
}

/* Numbers come first, by value, which without leading zeros is by length and then by digits.  0
 * only for what is the same, byte for byte. */
static int compare_words(struct word a, struct word b)
{
	int order;

	if (a.number != b.number)
		return a.number ? -1 : 1;
	if (a.number && a.size != b.size)
		return a.size < b.size ? -1 : 1;
	order = memcmp(a.text, b.text, MIN(a.size, b.size));
	if (order != 0)
		return order;
	return a.size == b.size ? 0 : a.size < b.size ? -1 : 1;
}

static int compare_fields(const void *a, const void *b)
{
	const struct form_field *one = *(const struct form_field *const *)a;
	const struct form_field *other = *(const struct form_field *const *)b;

	for (unsigned i = 0, k = 0;;) {
		struct word word, again;
		int order;

		if (ends(one, i) || ends(other, k))
			return (int)!ends(one, i) - (int)!ends(other, k);
		word = word_at(one, i);
		again = word_at(other, k);
		order = compare_words(word, again);
		if (order != 0)
			return order;
		i += word.size + 1;
		k += again.size + 1;
	}
}

static const char *run_name(const struct reader *reader, const struct run *run)
{
	return reader->fields[run->first]->name;
}

static int refuse(const struct reader *reader, const struct run *run)
{
	return problem(reader->why, -ENOENT, "The parameter %.200s is not recognized",
		       run_name(reader, run));
}

/*
 * The part of `run`, from *next on, that shares its next word; *next is moved behind it.  1, 0 at
 * the end of the run, or refused: there is a name that ends here.
 */
static int next_part(const struct reader *reader, const struct run *run, unsigned *next,
		     struct run *ret, struct word *ret_word)
{
	struct run part = {*next, *next, run->at};

	if (*next == run->end)
		return 0;
	if (ends(reader->fields[*next], run->at))
		return refuse(reader, run);
	*ret_word = word_at(reader->fields[part.first], run->at);
	while (part.end < run->end) {
		struct word word = word_at(reader->fields[part.end], run->at);

		if (compare_words(word, *ret_word) != 0)
			break;
		part.end++;
	}
	part.at += ret_word->size + 1;
	*next = part.end;
	*ret = part;
	return 1;
}

static json_t *boolean_of(const struct form_field *field)
{
	if (strcasecmp(field->value, "true") == 0)
		return json_true();
	return strcasecmp(field->value, "false") == 0 ? json_false() : NULL;
}

static json_t *integer_of(const struct form_field *field)
{
	const char *digits = field->value + (*field->value == '-' || *field->value == '+');
	long long value;
	char *end;

	if (!isdigit((unsigned char)*digits))
		return NULL;
	errno = 0;
	value = strtoll(field->value, &end, 10);
	return errno || *end ? NULL : json_integer(value);
}

static json_t *real_of(const struct form_field *field)
{
	double value;
	char *end;

	/* strtod() would take hexadecimal, "nan" and "inf" for numbers. */
	if (!*field->value || strspn(field->value, "0123456789.+-eE") != (size_t)field->value_size)
		return NULL;
	value = strtod(field->value, &end);
	return *end ? NULL : json_real(value);
}

static json_t *time_of(const struct form_field *field)
{
	double seconds;

	return aws_time_parse(field->value, &seconds) ? json_real(seconds) : NULL;
}

static int read_scalar(struct reader *reader, const struct run *run, const struct aws_shape *shape,
		       json_t **ret)
{
	const struct form_field *field = reader->fields[run->first];
	json_t *value = NULL;

	if (!ends(field, run->at))
		return refuse(reader, run);
	if (run->end - run->first > 1)
		return problem(reader->why, -EBADMSG, "Parameter %.200s is given more than once",
			       field->name);
	switch (shape->type) {
	case AWS_BOOLEAN:
		value = boolean_of(field);
		break;
	case AWS_INTEGER:
	case AWS_LONG:
		value = integer_of(field);
		break;
	case AWS_FLOAT:
	case AWS_DOUBLE:
		value = real_of(field);
		break;
	case AWS_TIMESTAMP:
		value = time_of(field);
		break;
	default:
		break;
	}
	if (!value)
		value = json_stringn(field->value, field->value_size);
	if (!value)
		return problem(reader->why, -EBADMSG, "Parameter %.200s is not valid UTF-8",
			       field->name);
	*ret = value;
	return 0;
}

static int read_shape(struct reader *reader, const struct run *run, const struct aws_shape *shape,
		      json_t **ret);

/* "Tags=": there, and empty. */
static bool is_empty(const struct reader *reader, const struct run *run)
{
	const struct form_field *field = reader->fields[run->first];

	return run->end - run->first == 1 && ends(field, run->at) && !field->value_size;
}

static int read_structure(struct reader *reader, const struct run *run,
			  const struct aws_shape *shape, json_t *object)
{
	unsigned next = run->first;
	struct word word;
	struct run part;
	int r;

	while ((r = next_part(reader, run, &next, &part, &word)) > 0) {
		const struct aws_member *member =
			aws_member_find_location(shape, word.text, word.size);
		json_t *value;

		if (!member)
			return refuse(reader, &part);
		r = read_shape(reader, &part, aws_member_shape(member), &value);
		if (r < 0)
			return r;
		json_object_set_new(object, aws_name(member->name), value);
	}
	return r;
}

static int read_list(struct reader *reader, const struct run *run, const struct aws_shape *shape,
		     bool inside, json_t *array)
{
	const struct aws_member *member = &aws_members[shape->first];
	unsigned next = run->first;
	struct word word;
	struct run part;
	int r;

	while ((r = next_part(reader, run, &next, &part, &word)) > 0) {
		json_t *value;

		if (!word.number) {
			/* The word between the list's name and the number. */
			if (inside ||
			    !((word.size == 6 && memcmp(word.text, "member", 6) == 0) ||
			      (word.size == member->location_size &&
			       memcmp(word.text, aws_name(member->location), word.size) == 0)))
				return refuse(reader, &part);
			r = read_list(reader, &part, shape, true, array);
			if (r < 0)
				return r;
			continue;
		}
		r = read_shape(reader, &part, aws_member_shape(member), &value);
		if (r < 0)
			return r;
		json_array_append_new(array, value);
	}
	return r;
}

static bool is_word(struct word word, const char *text)
{
	return word.size == strlen(text) && memcmp(word.text, text, word.size) == 0;
}

/* ".key" and ".value" of one entry. */
static int read_entry(struct reader *reader, const struct run *run, const struct aws_shape *shape,
		      json_t *object)
{
	const struct aws_member *members = &aws_members[shape->first];
	json_auto_t *key = NULL, *value = NULL;
	unsigned next = run->first;
	struct word word;
	struct run part;
	int r;

	while ((r = next_part(reader, run, &next, &part, &word)) > 0) {
		if (!key && (is_word(word, "key") || is_word(word, aws_name(members[0].location))))
			r = read_shape(reader, &part, aws_member_shape(&members[0]), &key);
		else if (!value &&
			 (is_word(word, "value") || is_word(word, aws_name(members[1].location))))
			r = read_shape(reader, &part, aws_member_shape(&members[1]), &value);
		else
			r = refuse(reader, &part);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!json_is_string(key) || !value)
		return refuse(reader, run);
	json_object_set(object, json_string_value(key), value);
	return 0;
}

static int read_map(struct reader *reader, const struct run *run, const struct aws_shape *shape,
		    bool inside, json_t *object)
{
	unsigned next = run->first;
	struct word word;
	struct run part;
	int r;

	while ((r = next_part(reader, run, &next, &part, &word)) > 0) {
		if (word.number)
			r = read_entry(reader, &part, shape, object);
		else if (!inside && is_word(word, "entry"))
			r = read_map(reader, &part, shape, true, object);
		else
			r = refuse(reader, &part);
		if (r < 0)
			return r;
	}
	return r;
}

static int read_shape(struct reader *reader, const struct run *run, const struct aws_shape *shape,
		      json_t **ret)
{
	json_auto_t *value = NULL;
	int r = 0;

	if (++reader->depth > DEPTH_MAX)
		return refuse(reader, run);
	switch (shape->type) {
	case AWS_STRUCTURE:
		value = json_object();
		if (!is_empty(reader, run))
			r = read_structure(reader, run, shape, value);
		break;
	case AWS_LIST:
		value = json_array();
		if (!is_empty(reader, run))
			r = read_list(reader, run, shape, false, value);
		break;
	case AWS_MAP:
		value = json_object();
		if (!is_empty(reader, run))
			r = read_map(reader, run, shape, false, value);
		break;
	default:
		r = read_scalar(reader, run, shape, &value);
	}
	reader->depth--;
	if (r < 0)
		return r;
	*ret = take(value);
	return 0;
}

/* What says something about the request, not about the operation. */
static bool is_about_request(const struct form_field *field)
{
	static const char *const names[] = {"Action",          "Version",   "AWSAccessKeyId",
					    "SignatureMethod", "Signature", "SignatureVersion",
					    "SecurityToken",   "Timestamp", "Expires"};

	if (strncasecmp(field->name, "X-Amz-", 6) == 0 || !field->name_size)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(field->name, names[i]) == 0)
			return true;
	return false;
}

int aws_query_read(const struct form *form, const struct aws_shape *input, json_t **ret,
		   struct problem *why)
{
	CLEANUP(free) const struct form_field **fields = xcalloc(form->count, sizeof *fields);
	json_auto_t *object = json_object();
	struct reader reader = {.fields = fields, .why = why};
	struct run all = {0};
	int r;

	for (unsigned i = 0; i < form->count; i++)
		if (!is_about_request(&form->fields[i]))
			fields[all.end++] = &form->fields[i];
	qsort(fields, all.end, sizeof *fields, compare_fields);
	r = read_structure(&reader, &all, input, object);
	if (r < 0)
		return r;
	*ret = take(object);
	return 0;
}
