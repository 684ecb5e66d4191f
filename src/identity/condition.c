/*
 * Each operator is one question, "is this value of the request like that one of the policy?".  All
 * else (several values, negation, missing keys) is the same for all of them.
 */
#include "identity/condition.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "identity/date.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	struct condition_operator how;
} operators[] = {
	{"StringEquals", {CONDITION_STRING}},
	{"StringNotEquals", {CONDITION_STRING, .negated = true}},
	{"StringEqualsIgnoreCase", {CONDITION_STRING_FOLD}},
	{"StringNotEqualsIgnoreCase", {CONDITION_STRING_FOLD, .negated = true}},
	{"StringLike", {CONDITION_STRING_LIKE}},
	{"StringNotLike", {CONDITION_STRING_LIKE, .negated = true}},
	{"NumericEquals", {CONDITION_NUMERIC, CONDITION_EQUAL}},
	{"NumericNotEquals", {CONDITION_NUMERIC, CONDITION_EQUAL, .negated = true}},
	{"NumericLessThan", {CONDITION_NUMERIC, CONDITION_LESS}},
	{"NumericLessThanEquals", {CONDITION_NUMERIC, CONDITION_LESS_EQUAL}},
	{"NumericGreaterThan", {CONDITION_NUMERIC, CONDITION_GREATER}},
	{"NumericGreaterThanEquals", {CONDITION_NUMERIC, CONDITION_GREATER_EQUAL}},
	{"DateEquals", {CONDITION_DATE, CONDITION_EQUAL}},
	{"DateNotEquals", {CONDITION_DATE, CONDITION_EQUAL, .negated = true}},
	{"DateLessThan", {CONDITION_DATE, CONDITION_LESS}},
	{"DateLessThanEquals", {CONDITION_DATE, CONDITION_LESS_EQUAL}},
	{"DateGreaterThan", {CONDITION_DATE, CONDITION_GREATER}},
	{"DateGreaterThanEquals", {CONDITION_DATE, CONDITION_GREATER_EQUAL}},
	{"Bool", {CONDITION_BOOL}},
	{"BinaryEquals", {CONDITION_BINARY}},
	{"IpAddress", {CONDITION_IP}},
	{"NotIpAddress", {CONDITION_IP, .negated = true}},
	{"ArnEquals", {CONDITION_ARN}},
	{"ArnLike", {CONDITION_ARN}},
	{"ArnNotEquals", {CONDITION_ARN, .negated = true}},
	{"ArnNotLike", {CONDITION_ARN, .negated = true}},
	{"Null", {CONDITION_NULL}},
};

static const char *skip_prefix(const char *text, const char *prefix)
{
	size_t size = strlen(prefix);

	return strncmp(text, prefix, size) ? NULL : text + size;
}

bool condition_operator_parse(const char *text, struct condition_operator *ret)
{
	const char *all = skip_prefix(text, "ForAllValues:"),
		   *any = skip_prefix(text, "ForAnyValue:");
	const char *name = all ? all : any ? any : text;
	size_t size = strlen(name);
	bool if_exists = size > 8 && !strcmp(name + size - 8, "IfExists");

	if (if_exists)
		size -= 8;
	for (unsigned i = 0; i < ARRAY_SIZE(operators); i++) {
		if (strncmp(operators[i].name, name, size) || operators[i].name[size])
			continue;
		*ret = operators[i].how;
		/* Null asks whether the key exists: "if it exists" makes no sense of it. */
		if (ret->type == CONDITION_NULL && if_exists)
			return false;
		ret->if_exists = if_exists;
		ret->set = all ? SET_ALL : any ? SET_ANY : SET_NONE;
		return true;
	}
	return false;
}

static bool is_pattern(enum condition_type type)
{
	return type <= CONDITION_STRING_LIKE || type == CONDITION_ARN;
}

static int compile_text(struct condition *condition, const char *text, bool variables)
{
	enum condition_type type = condition->how.type;
	unsigned flags = variables ? PATTERN_VARIABLES : 0;
	int r;

	if (type == CONDITION_STRING_LIKE || type == CONDITION_ARN)
		flags |= PATTERN_WILDCARDS;
	if (!is_pattern(type)) {
		condition->values[condition->count++] = xstrdup(text);
		return 0;
	}
	r = pattern_compile(text, flags, &condition->values[condition->count]);
	if (r < 0)
		return r;
	condition->count++;
	return 0;
}

static int compile_value(struct condition *condition, const json_t *value, bool variables)
{
	char number[64];

	switch (json_typeof(value)) {
	case JSON_STRING:
		return compile_text(condition, json_string_value(value), variables);
	case JSON_TRUE:
		return compile_text(condition, "true", variables);
	case JSON_FALSE:
		return compile_text(condition, "false", variables);
	case JSON_INTEGER:
		snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
		return compile_text(condition, number, variables);
	case JSON_REAL:
		snprintf(number, sizeof number, "%.17g", json_real_value(value));
		return compile_text(condition, number, variables);
	default:
		return -EINVAL;
	}
}

int condition_compile(struct condition_operator how, const char *key, const json_t *values,
		      bool variables, struct condition *ret)
{
	struct condition condition = {.how = how, .key = xstrdup(key)};
	size_t count = json_is_array(values) ? json_array_size(values) : 1;
	int r = 0;

	condition.values = xcalloc(count, sizeof *condition.values);
	for (size_t i = 0; i < count && r == 0; i++) {
		const json_t *value = json_is_array(values) ? json_array_get(values, i) : values;

		r = compile_value(&condition, value, variables);
	}
	if (r < 0) {
		condition_done(&condition);
		return r;
	}
	*ret = condition;
	return 0;
}

void condition_done(struct condition *condition)
{
	for (unsigned i = 0; i < condition->count; i++)
		free(condition->values[i]);
	free(condition->values);
	free(condition->key);
	*condition = (struct condition){0};
}

static bool in_order(enum condition_order order, int compared)
{
	switch (order) {
	case CONDITION_EQUAL:
		return compared == 0;
	case CONDITION_LESS:
		return compared < 0;
	case CONDITION_LESS_EQUAL:
		return compared <= 0;
	case CONDITION_GREATER:
		return compared > 0;
	case CONDITION_GREATER_EQUAL:
		return compared >= 0;
	}
	return false;
}

/* Decimal digits with sign, point and exponent; neither hexadecimal nor infinite. */
static bool parse_number(const char *text, long double *ret)
{
	char *end;

	if (!*text || text[strspn(text, "+-.0123456789eE")])
		return false;
	*ret = strtold(text, &end);
	return !*end && isfinite(*ret);
}

static bool numeric_holds(enum condition_order order, const char *policy, const char *value)
{
	long double a, b;

	if (!parse_number(value, &a) || !parse_number(policy, &b))
		return false;
	return in_order(order, (a > b) - (a < b));
}

static bool date_holds(enum condition_order order, const char *policy, const char *value)
{
	struct policy_date a, b;

	if (!policy_date_parse(value, &a) || !policy_date_parse(policy, &b))
		return false;
	return in_order(order, policy_date_compare(a, b));
}

static int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Whether two base64 texts are the same bytes: the bits of the last digit that are no byte's do not
 * count. */
static bool binary_holds(const char *policy, const char *value)
{
	size_t size = strcspn(policy, "=");
	unsigned spare = size % 4 == 2 ? 4 : size % 4 == 3 ? 2 : 0;

	if (size != strcspn(value, "=") || size % 4 == 1)
		return false;
	for (size_t i = 0; i < size; i++) {
		int a = base64_digit(policy[i]), b = base64_digit(value[i]);
		unsigned shift = i + 1 == size ? spare : 0;

		if (a < 0 || b < 0 || a >> shift != b >> shift)
			return false;
	}
	return true;
}

/* Of 16 bytes; IPv4 addresses are what IPv6 maps them to. */
static bool parse_address(const char *text, unsigned char ret[16], unsigned *ret_base)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	*ret_base = 0;
	if (inet_pton(AF_INET6, text, ret) == 1)
		return true;
	memcpy(ret, mapped, sizeof mapped);
	*ret_base = 96;
	return inet_pton(AF_INET, text, ret + 12) == 1;
}

/* "203.0.113.0/24", "2001:db8::/32", or an address. */
static bool parse_network(const char *text, unsigned char ret[16], unsigned *ret_bits)
{
	const char *slash = strchrnul(text, '/');
	char address[INET6_ADDRSTRLEN];
	unsigned base, bits = 0;

	if (slash - text >= (long)sizeof address)
		return false;
	memcpy(address, text, slash - text);
	address[slash - text] = 0;
	if (!parse_address(address, ret, &base))
		return false;
	if (!*slash) {
		*ret_bits = 128;
		return true;
	}
	if (!isdigit((unsigned char)slash[1]) || strlen(slash + 1) > 3)
		return false;
	for (const char *at = slash + 1; *at; at++) {
		if (!isdigit((unsigned char)*at))
			return false;
		bits = bits * 10 + (*at - '0');
	}
	*ret_bits = base + bits;
	return *ret_bits <= 128;
}

static bool ip_holds(const char *policy, const char *value)
{
	unsigned char network[16], address[16];
	unsigned bits, base;

	if (!parse_network(policy, network, &bits) || !parse_address(value, address, &base))
		return false;
	if (memcmp(network, address, bits / 8))
		return false;
	return bits % 8 == 0 || !((network[bits / 8] ^ address[bits / 8]) >> (8 - bits % 8));
}

static bool is_like(const struct condition *condition, const char *policy, const char *value,
		    const struct policy_context *context)
{
	switch (condition->how.type) {
	case CONDITION_STRING:
	case CONDITION_STRING_LIKE:
		return pattern_match(policy, value, context, false);
	case CONDITION_STRING_FOLD:
		return pattern_match(policy, value, context, true);
	case CONDITION_ARN:
		return pattern_match_arn(policy, value, context);
	case CONDITION_NUMERIC:
		return numeric_holds(condition->how.order, policy, value);
	case CONDITION_DATE:
		return date_holds(condition->how.order, policy, value);
	case CONDITION_BOOL:
		return !strcasecmp(policy, value);
	case CONDITION_BINARY:
		return binary_holds(policy, value);
	case CONDITION_IP:
		return ip_holds(policy, value);
	case CONDITION_NULL:
		break;
	}
	return false;
}

/* One value of the request beside all of the policy's: like any of them; negated, like none. */
static bool value_holds(const struct condition *condition, const char *value,
			const struct policy_context *context)
{
	for (unsigned i = 0; i < condition->count; i++) {
		if (is_like(condition, condition->values[i], value, context))
			return !condition->how.negated;
	}
	return condition->how.negated;
}

/* "true": the key is not there; "false": it is. */
static bool null_holds(const struct condition *condition, bool there)
{
	for (unsigned i = 0; i < condition->count; i++) {
		if (!strcasecmp(condition->values[i], there ? "false" : "true"))
			return true;
	}
	return false;
}

static bool holds_without_key(struct condition_operator how)
{
	if (how.if_exists || how.set == SET_ALL)
		return true;
	return how.set == SET_NONE && how.negated;
}

bool condition_holds(const struct condition *condition, const struct policy_context *context)
{
	struct condition_operator how = condition->how;
	/* A negated operator wants all of the request's values to differ, another any to be alike;
	 * that makes a difference only for keys with several. */
	bool all = how.set == SET_ALL || (how.set == SET_NONE && how.negated);
	struct context_values values;
	bool there = context_find(context, condition->key, &values);

	if (how.type == CONDITION_NULL)
		return null_holds(condition, there);
	if (!there)
		return holds_without_key(how);
	for (unsigned i = 0; i < values.count; i++) {
		if (value_holds(condition, values.items[i], context) != all)
			return !all;
	}
	return all;
}
