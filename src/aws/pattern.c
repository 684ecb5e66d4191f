#include "aws/pattern.h"

#include "base/alloc.h"
#include "base/log.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>
#include <stdatomic.h>

/* Steps of backtracking; a pattern of the models takes some dozens on a text that is meant for it.
 */
#define MATCH_LIMIT 100000

/* One per shape; what is compiled stays. */
static _Atomic(pcre2_code *) *codes;
static pcre2_match_context *limits;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(void)
{
	codes = xcalloc(aws_shape_count, sizeof *codes);
	limits = xcheck(pcre2_match_context_create(NULL));
	pcre2_set_match_limit(limits, MATCH_LIMIT);
	pcre2_set_depth_limit(limits, MATCH_LIMIT);
}

/* Java's matches() wants the whole text, and writes characters as \uhhhh. */
static pcre2_code *compile(const struct aws_shape *shape)
{
	const char *pattern = aws_name(shape->pattern);
	pcre2_code *code;
	PCRE2_SIZE offset;
	int error;

	code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
			     PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_ANCHORED | PCRE2_ENDANCHORED |
				     PCRE2_DOLLAR_ENDONLY | PCRE2_NO_UTF_CHECK,
			     &error, &offset, NULL);
	if (!code)
		log_error("the model's pattern '%s' is not understood (at %zu)", pattern,
			  (size_t)offset);
	return code;
}

static pcre2_code *code_of(const struct aws_shape *shape)
{
	_Atomic(pcre2_code *) *place;
	pcre2_code *code, *none = NULL;

	pthread_once(&once, prepare);
	place = &codes[shape - aws_shapes];
	code = atomic_load(place);
	if (code)
		return code;
	code = compile(shape);
	if (code && !atomic_compare_exchange_strong(place, &none, code)) {
		pcre2_code_free(code);
		code = none;
	}
	return code;
}

bool aws_pattern_matches(const struct aws_shape *shape, const char *text, size_t size)
{
	pcre2_code *code = code_of(shape);
	pcre2_match_data *match;
	int r;

	if (!code)
		return true;
	match = xcheck(pcre2_match_data_create(1, NULL));
	r = pcre2_match(code, (PCRE2_SPTR)text, size, 0, PCRE2_NO_UTF_CHECK, match, limits);
	pcre2_match_data_free(match);
	return r >= 0;
}

bool aws_pattern_is_understood(const struct aws_shape *shape)
{
	return code_of(shape) != NULL;
}
