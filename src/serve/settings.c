#include "serve/settings.h"

#include "serve/throttle.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#define LISTEN "127.0.0.1:4580"
#define REGION "us-east-1"
#define CONNECTIONS_MAX 4096
#define PER_ADDRESS_MAX 256
/* More than a client sends, and less than a large machine answers. */
#define REQUESTS_PER_SECOND 50000

void settings_init(struct settings *settings)
{
	*settings = (struct settings){
		.listen = LISTEN,
		.region = REGION,
		.connections_max = CONNECTIONS_MAX,
		.per_address_max = PER_ADDRESS_MAX,
		.requests_per_second = REQUESTS_PER_SECOND,
		.log_requests = true,
	};
}

/* One key of the file: a text, a number or a truth, whichever place it has. */
struct key {
	const char *name;
	char *text;
	size_t text_size;
	int64_t *number;
	int64_t min, max;
	bool *truth;
};

static int read_value(const char *path, const struct key *key, const json_t *value,
		      struct problem *why)
{
	if (key->text) {
		if (!json_is_string(value) || json_string_length(value) >= key->text_size)
			return problem(why, -EBADMSG,
				       "\"%s\" in '%s' is not a text of at most %zu bytes",
				       key->name, path, key->text_size - 1);
		snprintf(key->text, key->text_size, "%s", json_string_value(value));
	} else if (key->number) {
		if (!json_is_integer(value) || json_integer_value(value) < key->min ||
		    json_integer_value(value) > key->max)
			return problem(why, -EBADMSG,
				       "\"%s\" in '%s' is not a number from %lld to %lld",
				       key->name, path, (long long)key->min, (long long)key->max);
		*key->number = json_integer_value(value);
	} else {
		if (!json_is_boolean(value))
			return problem(why, -EBADMSG, "\"%s\" in '%s' is neither true nor false",
				       key->name, path);
		*key->truth = json_is_true(value);
	}
	return 0;
}

static int read_object(const char *path, const struct key *keys, json_t *file, struct problem *why)
{
	const char *name;
	json_t *value;

	json_object_foreach (file, name, value) {
		const struct key *key = keys;
		int r;

		while (key->name && strcmp(key->name, name) != 0)
			key++;
		if (!key->name)
			return problem(
				why, -EBADMSG,
				"'%s' has \"%.60s\", which is no setting; see unspill-serve(1)",
				path, name);
		r = read_value(path, key, value, why);
		if (r < 0)
			return r;
	}
	return 0;
}

int settings_read(const char *path, struct settings *settings, struct problem *why)
{
	struct settings read = *settings;
	const struct key keys[] = {
		{"listen", read.listen, sizeof read.listen},
		{"tls_certificate", read.tls_certificate, sizeof read.tls_certificate},
		{"tls_key", read.tls_key, sizeof read.tls_key},
		{"region", read.region, sizeof read.region},
		{"connections_max", .number = &read.connections_max, .min = 16, .max = 100000},
		{"per_address_max", .number = &read.per_address_max, .min = 1, .max = 100000},
		{"requests_per_second", .number = &read.requests_per_second, .min = 1,
		 .max = THROTTLE_MAX},
		{"log_requests", .truth = &read.log_requests},
		{NULL},
	};
	json_error_t error;
	json_t *file;
	int r;

	errno = 0;
	file = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!file && json_error_code(&error) == json_error_cannot_open_file)
		return errno == ENOENT ? 0 : problem_errno(why, -errno, "cannot open '%s'", path);
	if (!file)
		return problem(why, -EBADMSG, "'%s', line %d: %s", path, error.line, error.text);
	if (json_is_object(file))
		r = read_object(path, keys, file, why);
	else
		r = problem(why, -EBADMSG, "'%s' is no JSON object", path);
	json_decref(file);
	if (r == 0)
		*settings = read;
	return r;
}

static bool is_region(const char *text)
{
	return *text >= 'a' && *text <= 'z' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

int settings_check(const struct settings *settings, struct problem *why)
{
	bool is_loopback;
	int r = http_address_check(settings->listen, &is_loopback, why);

	if (r < 0)
		return r;
	if (!*settings->tls_certificate != !*settings->tls_key)
		return problem(why, -EINVAL,
			       "TLS needs both, a certificate and its key; only one is given");
	if (!is_loopback && settings->test_reset)
		return problem(
			why, -EINVAL,
			"with --test-reset everybody can do everything: it is refused on %s, "
			"which is not this machine's own loopback",
			settings->listen);
	if (!is_loopback && !settings_tls(settings))
		return problem(why, -EINVAL,
			       "%s can be reached from other machines, which takes TLS: give "
			       "--tls-certificate and --tls-key, or listen on 127.0.0.1",
			       settings->listen);
	if (!is_region(settings->region))
		return problem(why, -EINVAL,
			       "'%s' is no region: small letters, digits and '-', as in us-east-1",
			       settings->region);
	return 0;
}
