#include "identity/store.h"
#include "base/alloc.h"
#include "base/log.h"
#include "identity/identity.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

const char IDENTITY_AWS_ACCOUNT[] = "aws";

static const char *const steps[] = {
	"CREATE TABLE identity_entity ("
	"  made INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  kind INTEGER NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL,"
	"  data TEXT NOT NULL,"
	"  UNIQUE (kind, account, name)) STRICT;"
	/* A secret is sealed with the key file; `name` is the access key's id. */
	"CREATE TABLE identity_secret (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT;"
	"CREATE TABLE identity_use ("
	"  name TEXT PRIMARY KEY, used_us INTEGER NOT NULL,"
	"  region TEXT NOT NULL, service TEXT NOT NULL) STRICT",
	NULL,
};

const struct state_part identity_state_part = {"identity", steps};

/* Entities of one hash. */
struct entity_link {
	struct entity_link *next;
	struct entity *entity;
};

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (uint8_t)tolower((unsigned char)*text)) * UINT64_C(0x100000001b3);
	return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

/* Any case of letters gives the same. */
static uint64_t hash_name(enum entity_kind kind, const char *account, const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) + kind;

	/* A key is looked for before it is known whose it is. */
	hash = hash_text(hash, kind == ENTITY_KEY ? "" : account);
	hash = hash_text(hash, name);
	return hash ? hash : 1;
}

static void link_entity(struct map64 *map, uint64_t hash, struct entity *entity)
{
	struct entity_link *link = xmalloc(sizeof *link);

	*link = (struct entity_link){map64_get(map, hash), entity};
	map64_put(map, hash, link);
}

static void unlink_entity(struct map64 *map, uint64_t hash, const struct entity *entity)
{
	struct entity_link *first = map64_get(map, hash), **at = &first, *gone;

	while (*at && (*at)->entity != entity)
		at = &(*at)->next;
	gone = *at;
	if (!gone)
		return;
	*at = gone->next;
	free(gone);
	if (first)
		map64_put(map, hash, first);
	else
		map64_remove(map, hash);
}

static struct entity *find_in(const struct map64 *map, enum entity_kind kind, const char *account,
			      const char *name, int (*compare)(const char *, const char *))
{
	const struct entity_link *link = map64_get(map, hash_name(kind, account, name));

	for (; link; link = link->next) {
		struct entity *entity = link->entity;

		if (entity->kind == kind && !compare(entity->name, name) &&
		    (kind == ENTITY_KEY || !strcmp(entity->account, account)))
			return entity;
	}
	return NULL;
}

struct entity *store_find(const struct identity *identity, enum entity_kind kind,
			  const char *account, const char *name)
{
	return find_in(&identity->names, kind, account, name, strcmp);
}

bool store_is_taken(const struct identity *identity, enum entity_kind kind, const char *account,
		    const char *name)
{
	return find_in(&identity->names, kind, account, name, strcasecmp);
}

struct entity *store_find_id(const struct identity *identity, const char *id)
{
	const struct entity_link *link = map64_get(&identity->ids, hash_name(0, "", id));

	while (link && strcmp(link->entity->id, id))
		link = link->next;
	return link ? link->entity : NULL;
}

struct entity *store_next(const struct identity *identity, enum entity_kind kind,
			  const char *account, unsigned *at)
{
	while (*at < identity->entity_count) {
		struct entity *entity = identity->entities[(*at)++];

		if (entity->kind == kind && !strcmp(entity->account, account))
			return entity;
	}
	return NULL;
}

const char *entity_text(const struct entity *entity, const char *member)
{
	return json_string_value(json_object_get(entity->data, member));
}

void policies_free(struct policy **policies, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		policy_free(policies[i]);
	free(policies);
}

/* What an entity was compiled to from an object. */
struct compiled {
	struct policy **policies;
	unsigned count;
	struct policy *trust;
};

/* A text that is no policy says nothing: in --test-reset mode a role may have one. */
static void compile_text(struct compiled *ret, const char *text)
{
	struct policy *policy = NULL;

	if (policy_parse(text, POLICY_SESSION, &policy, NULL) < 0)
		return;
	ret->policies = xreallocarray(ret->policies, ret->count + 1, sizeof *ret->policies);
	ret->policies[ret->count++] = policy;
}

static struct compiled compile(enum entity_kind kind, const json_t *data)
{
	struct compiled ret = {0};
	const char *name, *version, *trust;
	json_t *text;

	json_object_foreach (json_object_get(data, "Inline"), name, text)
		compile_text(&ret, json_string_value(text));
	version = json_string_value(json_object_get(data, "DefaultVersionId"));
	if (kind == ENTITY_POLICY && version) {
		const json_t *versions = json_object_get(data, "Versions");

		text = json_object_get(json_object_get(versions, version), "Document");
		compile_text(&ret, json_string_value(text));
	}
	trust = json_string_value(json_object_get(data, "AssumeRolePolicyDocument"));
	if (trust)
		policy_parse(trust, POLICY_TRUST, &ret.trust, NULL);
	return ret;
}

static void set_data(struct entity *entity, json_t *data)
{
	struct compiled compiled = compile(entity->kind, data);

	policies_free(entity->policies, entity->policy_count);
	policy_free(entity->trust);
	entity->policies = compiled.policies;
	entity->policy_count = compiled.count;
	entity->trust = compiled.trust;
	json_decref(entity->data);
	entity->data = data;
}

static const char *id_of(const json_t *data, enum entity_kind kind)
{
	static const char *const members[ENTITY_KINDS] = {
		[ENTITY_USER] = "UserId",
		[ENTITY_GROUP] = "GroupId",
		[ENTITY_ROLE] = "RoleId",
		[ENTITY_POLICY] = "PolicyId",
	};

	return members[kind] ? json_string_value(json_object_get(data, members[kind])) : NULL;
}

/* With `lock` held for writing, or nobody else there yet; `data` is stolen. */
static struct entity *insert(struct identity *identity, enum entity_kind kind, const char *account,
			     const char *name, json_t *data)
{
	struct entity *entity = xcalloc(1, sizeof *entity);
	const char *id = id_of(data, kind);

	entity->kind = kind;
	snprintf(entity->account, sizeof entity->account, "%s", account);
	entity->name = xstrdup(name);
	if (kind == ENTITY_KEY)
		entity->signing = xcalloc(1, sizeof *entity->signing);
	if (kind == ENTITY_KEY || kind == ENTITY_ROLE)
		entity->use = xcalloc(1, sizeof *entity->use);
	set_data(entity, data);
	link_entity(&identity->names, hash_name(kind, account, name), entity);
	if (id) {
		entity->id = xstrdup(id);
		link_entity(&identity->ids, hash_name(0, "", id), entity);
	}
	xgrow(identity->entities, identity->entity_count, identity->entity_room);
	identity->entities[identity->entity_count++] = entity;
	return entity;
}

static void entity_free(struct entity *entity)
{
	policies_free(entity->policies, entity->policy_count);
	policy_free(entity->trust);
	json_decref(entity->data);
	OPENSSL_cleanse(entity->secret, sizeof entity->secret);
	if (entity->signing)
		OPENSSL_cleanse(entity->signing, sizeof *entity->signing);
	free(entity->signing);
	free(entity->use);
	free(entity->id);
	free(entity->name);
	free(entity);
}

static void drop(struct identity *identity, struct entity *entity)
{
	unsigned i = 0;

	unlink_entity(&identity->names, hash_name(entity->kind, entity->account, entity->name),
		      entity);
	if (entity->id)
		unlink_entity(&identity->ids, hash_name(0, "", entity->id), entity);
	while (identity->entities[i] != entity)
		i++;
	identity->entity_count--;
	memmove(identity->entities + i, identity->entities + i + 1,
		(identity->entity_count - i) * sizeof *identity->entities);
	entity_free(entity);
}

/* A change on its way to the state. */
struct row {
	struct identity *identity;
	enum entity_kind kind;
	const char *account, *name, *old_name;
	const char *text;
	const char *secret; /* of a new key */
	const char *use;    /* use_name() of what is removed */
};

static int write_secret(sqlite3 *db, const struct row *row)
{
	CLEANUP(buffer) struct buffer sealed = {0};

	secret_seal(&row->identity->key, row->name, row->secret, strlen(row->secret), &sealed);
	return state_run(db, "INSERT INTO identity_secret (name, sealed) VALUES (?, ?)", "sb",
			 row->name, sealed.data, sealed.size);
}

static int add_row(sqlite3 *db, void *arg)
{
	const struct row *row = arg;
	int r = state_run(
		db, "INSERT INTO identity_entity (kind, account, name, data) VALUES (?, ?, ?, ?)",
		"isss", (int64_t)row->kind, row->account, row->name, row->text);

	return r == 0 && row->secret ? write_secret(db, row) : r;
}

static int replace_row(sqlite3 *db, void *arg)
{
	const struct row *row = arg;

	return state_run(db,
			 "UPDATE identity_entity SET name = ?, data = ?"
			 " WHERE kind = ? AND account = ? AND name = ?",
			 "ssiss", row->name, row->text, (int64_t)row->kind, row->account,
			 row->old_name);
}

/* Under which its last use is written, if it has one: roles are made again by the same name, and
 * were not used then. */
static const char *use_name(const struct entity *entity)
{
	if (!entity->use)
		return NULL;
	return entity->kind == ENTITY_KEY ? entity->name : entity->id;
}

static int remove_row(sqlite3 *db, void *arg)
{
	const struct row *row = arg;
	int r = state_run(db,
			  "DELETE FROM identity_entity WHERE kind = ? AND account = ? AND name = ?",
			  "iss", (int64_t)row->kind, row->account, row->name);

	if (r == 0 && row->kind == ENTITY_KEY)
		r = state_run(db, "DELETE FROM identity_secret WHERE name = ?", "s", row->name);
	if (r == 0 && row->use)
		r = state_run(db, "DELETE FROM identity_use WHERE name = ?", "s", row->use);
	return r;
}

int store_add(struct identity *identity, enum entity_kind kind, const char *account,
	      const char *name, json_t *data)
{
	/* The one thing that is not to be found in `data` later. */
	CLEANUP(free) char *secret = NULL;
	CLEANUP(free) char *text = NULL;
	struct row row = {identity, kind, account, name};
	int r;

	if (kind == ENTITY_KEY) {
		secret = xstrdup(json_string_value(json_object_get(data, "SecretAccessKey")));
		json_object_del(data, "SecretAccessKey");
		row.secret = secret;
	}
	text = xcheck(json_dumps(data, JSON_COMPACT));
	row.text = text;
	r = state_write(identity->state, add_row, &row);
	if (r == 0) {
		pthread_rwlock_wrlock(&identity->lock);
		struct entity *entity = insert(identity, kind, account, name, json_incref(data));

		if (secret)
			snprintf(entity->secret, sizeof entity->secret, "%s", secret);
		pthread_rwlock_unlock(&identity->lock);
	}
	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	json_decref(data);
	return r;
}

void store_add_fixed(struct identity *identity, enum entity_kind kind, const char *account,
		     const char *name, json_t *data)
{
	insert(identity, kind, account, name, data);
}

static void rename_entity(struct identity *identity, struct entity *entity, const char *name)
{
	unlink_entity(&identity->names, hash_name(entity->kind, entity->account, entity->name),
		      entity);
	free(entity->name);
	entity->name = xstrdup(name);
	link_entity(&identity->names, hash_name(entity->kind, entity->account, name), entity);
}

int store_replace(struct identity *identity, struct entity *entity, const char *name, json_t *data)
{
	CLEANUP(free) char *text = xcheck(json_dumps(data, JSON_COMPACT));
	struct row row = {identity,     entity->kind, entity->account, name ? name : entity->name,
			  entity->name, text};
	int r = state_write(identity->state, replace_row, &row);

	if (r < 0) {
		json_decref(data);
		return r;
	}
	pthread_rwlock_wrlock(&identity->lock);
	set_data(entity, data);
	if (name)
		rename_entity(identity, entity, name);
	pthread_rwlock_unlock(&identity->lock);
	return 0;
}

int store_remove(struct identity *identity, struct entity *entity)
{
	struct row row = {.identity = identity,
			  .kind = entity->kind,
			  .account = entity->account,
			  .name = entity->name,
			  .use = use_name(entity)};
	int r = state_write(identity->state, remove_row, &row);

	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&identity->lock);
	drop(identity, entity);
	pthread_rwlock_unlock(&identity->lock);
	return 0;
}

int store_forget(struct identity *identity)
{
	int r = 0;

	for (unsigned i = identity->entity_count; i-- > 0 && r == 0;) {
		struct entity *entity = identity->entities[i];
		bool own = !strcmp(entity->account, identity->account);

		if (!strcmp(entity->account, IDENTITY_AWS_ACCOUNT) ||
		    (own && entity->kind == ENTITY_ACCOUNT) ||
		    (own && entity->kind == ENTITY_KEY && !entity_text(entity, "UserId")))
			continue;
		r = store_remove(identity, entity);
	}
	return r;
}

/* ---- loading ------------------------------------------------------------------------------ */

struct loading {
	struct identity *identity;
	struct problem *why;
};

static const char *column_text(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text ? text : "";
}

static int load_entity(struct loading *loading, sqlite3_stmt *row)
{
	int64_t kind = sqlite3_column_int64(row, 0);
	json_t *data = json_loads(column_text(row, 3), 0, NULL);

	if (!json_is_object(data) || kind < 0 || kind >= ENTITY_KINDS) {
		json_decref(data);
		return problem(loading->why, -EBADMSG,
			       "the state's entry for '%s' in account %s is damaged",
			       column_text(row, 2), column_text(row, 1));
	}
	insert(loading->identity, (enum entity_kind)kind, column_text(row, 1), column_text(row, 2),
	       data);
	return 0;
}

static int load_secret(struct loading *loading, sqlite3_stmt *row)
{
	const char *name = column_text(row, 0);
	struct entity *entity = store_find(loading->identity, ENTITY_KEY, "", name);
	CLEANUP(buffer) struct buffer plain = {0};
	int r;

	if (!entity)
		return 0;
	r = secret_open(&loading->identity->key, name, sqlite3_column_blob(row, 1),
			sqlite3_column_bytes(row, 1), &plain);
	if (r < 0 || plain.size >= sizeof entity->secret)
		return problem(loading->why, -EBADMSG,
			       "the secret of access key %s cannot be opened: the key file is not "
			       "the one that it was sealed with",
			       name);
	memcpy(entity->secret, plain.data, plain.size);
	OPENSSL_cleanse(plain.data, plain.size);
	return 0;
}

static int load_use(struct loading *loading, sqlite3_stmt *row)
{
	const char *name = column_text(row, 0);
	struct entity *entity = store_find(loading->identity, ENTITY_KEY, "", name);

	if (!entity)
		entity = store_find_id(loading->identity, name);
	if (!entity || !entity->use)
		return 0;
	entity->use->used_us = sqlite3_column_int64(row, 1);
	snprintf(entity->use->region, sizeof entity->use->region, "%s", column_text(row, 2));
	snprintf(entity->use->service, sizeof entity->use->service, "%s", column_text(row, 3));
	return 0;
}

static int load_rows(sqlite3 *db, struct loading *loading, const char *sql,
		     int (*load)(struct loading *loading, sqlite3_stmt *row))
{
	sqlite3_stmt *statement;
	int r = state_prepare(db, sql, &statement, "");

	if (r < 0)
		return r;
	while ((r = state_step(statement)) == 1) {
		r = load(loading, statement);
		if (r < 0)
			break;
	}
	state_done(statement);
	return r;
}

static int load_all(sqlite3 *db, void *arg)
{
	int r = load_rows(db, arg,
			  "SELECT kind, account, name, data FROM identity_entity ORDER BY made",
			  load_entity);

	if (r == 0)
		r = load_rows(db, arg, "SELECT name, sealed FROM identity_secret", load_secret);
	if (r == 0)
		r = load_rows(db, arg, "SELECT name, used_us, region, service FROM identity_use",
			      load_use);
	return r;
}

int store_load(struct identity *identity, struct problem *why)
{
	struct loading loading = {identity, why};

	return state_read(identity->state, load_all, &loading);
}

void store_done(struct identity *identity)
{
	for (unsigned i = identity->entity_count; i-- > 0;)
		drop(identity, identity->entities[i]);
	free(identity->entities);
	map64_done(&identity->names);
	map64_done(&identity->ids);
}

/* ---- last uses ---------------------------------------------------------------------------- */

struct uses {
	struct used {
		char name[32];
		int64_t used_us;
		char region[AWS_REGION_SIZE];
		char service[64];
	} * items;
	unsigned count, room;
};

static int write_uses(sqlite3 *db, void *arg)
{
	const struct uses *uses = arg;
	int r = 0;

	for (unsigned i = 0; i < uses->count && r == 0; i++) {
		const struct used *used = &uses->items[i];

		r = state_run(db,
			      "INSERT OR REPLACE INTO identity_use (name, used_us, region, service)"
			      " VALUES (?, ?, ?, ?)",
			      "siss", used->name, used->used_us, used->region, used->service);
	}
	return r;
}

static void collect_uses(struct identity *identity, struct uses *ret)
{
	pthread_rwlock_rdlock(&identity->lock);
	pthread_mutex_lock(&identity->cache);
	for (unsigned i = 0; i < identity->entity_count; i++) {
		struct last_use *use = identity->entities[i]->use;
		struct used *used;

		if (!use || !use->noted)
			continue;
		use->noted = false;
		xgrow(ret->items, ret->count, ret->room);
		used = &ret->items[ret->count++];
		used->used_us = use->used_us;
		snprintf(used->name, sizeof used->name, "%s", use_name(identity->entities[i]));
		memcpy(used->region, use->region, sizeof used->region);
		memcpy(used->service, use->service, sizeof used->service);
	}
	pthread_mutex_unlock(&identity->cache);
	pthread_rwlock_unlock(&identity->lock);
}

void store_write_uses(struct identity *identity)
{
	struct uses uses = {0};
	int r = 0;

	collect_uses(identity, &uses);
	if (uses.count)
		r = state_write(identity->state, write_uses, &uses);
	if (r < 0)
		log_errno(r, "cannot write when access keys and roles were last used");
	free(uses.items);
}
