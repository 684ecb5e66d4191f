#include "rds/engines.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *api, *first, *second; /* the second where the first is not installed */
} names[] = {
	{"mariadb", "mariadb", NULL},
	{"mysql", "mysql", "mariadb"},
	{"aurora-mysql", "mysql", "mariadb"},
	{"postgres", "postgresql", NULL},
	{"aurora-postgresql", "postgresql", NULL},
};

static const char *const served[] = {"mariadb", "mysql", "postgresql"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	bool known;
	char text[64];
} versions[ARRAY_SIZE(served)]; /* guarded by `lock` */

const struct engine *engines_find(const char *api_name, const char **ret_names)
{
	char version[64];

	*ret_names = "aurora-mysql, aurora-postgresql, mariadb, mysql, postgres";
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i].api, api_name) != 0)
			continue;
		engines_version(names[i].first, version);
		return engine_find(version[0] || !names[i].second ? names[i].first
								  : names[i].second,
				   &(const char *){NULL});
	}
	return NULL;
}

const char *engines_api_name(const char *engine)
{
	return strcmp(engine, "postgresql") == 0 ? "postgres" : engine;
}

bool engines_is_served(const char *engine)
{
	for (size_t i = 0; i < ARRAY_SIZE(served); i++)
		if (!strcmp(served[i], engine))
			return true;
	return false;
}

void engines_version_of(const char *words, char ret[64])
{
	size_t size = 0;

	while (*words && !isdigit((unsigned char)*words))
		words++;
	while ((isdigit((unsigned char)*words) || *words == '.') && size < 63)
		ret[size++] = *words++;
	ret[size] = 0;
}

static void find_version(const char *name, char ret[64])
{
	const struct engine *engine = engine_find(name, &(const char *){NULL});
	char words[128] = "";

	if (engine && engine->check(words, NULL) >= 0)
		engines_version_of(words, ret);
}

void engines_version(const char *engine, char ret[64])
{
	ret[0] = 0;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < ARRAY_SIZE(served); i++) {
		if (strcmp(served[i], engine) != 0)
			continue;
		if (!versions[i].known)
			find_version(engine, versions[i].text);
		/* One that is missing may be installed meanwhile. */
		versions[i].known = versions[i].text[0];
		strcpy(ret, versions[i].text);
	}
	pthread_mutex_unlock(&lock);
}
