#include "rds/master.h"

#include "rds/keepers.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <strings.h>

#define NAME_SIZE_MAX 16
#define SCRAM_ITERATIONS 4096
#define SCRAM_SALT_SIZE 16
#define SCRAM_KEY_SIZE 32

static bool is_postgres(const char *engine)
{
	return !strcmp(engine, "postgresql");
}

/* --- What is asked for ------------------------------------------------------------------------ */

static bool is_word(const char *name, size_t size_max)
{
	size_t size =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return isalpha((unsigned char)name[0]) && !name[size] && size <= size_max;
}

const char *master_check_name(const struct engine *engine, const char *name)
{
	static const char *const reserved[] = {"root",   "mysql", "mariadb", "postgres",
					       "public", "user",  "rdsadmin"};

	if (!is_word(name, NAME_SIZE_MAX) || !strncasecmp(name, "pg_", 3))
		return "The parameter MasterUsername is not a valid identifier. Identifiers must "
		       "begin with a letter and contain only letters, digits and underscores, at "
		       "most 16.";
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (!strcasecmp(reserved[i], name))
			return "MasterUsername cannot be used as it is a reserved word used by the "
			       "engine";
	(void)engine;
	return NULL;
}

const char *master_check_password(const char *password)
{
	size_t size = strlen(password);

	if (size < 8)
		return "The parameter MasterUserPassword is not a valid password because it is "
		       "shorter than 8 characters.";
	if (size > 41)
		return "The parameter MasterUserPassword is not a valid password because it is "
		       "longer than 41 characters.";
	for (size_t i = 0; i < size; i++)
		if (password[i] <= ' ' || password[i] > '~' || strchr("/@\"", password[i]))
			return "The parameter MasterUserPassword is not a valid password. Only "
			       "printable ASCII characters besides '/', '@', '\"', ' ' may be "
			       "used.";
	return NULL;
}

const char *master_check_database(const char *name)
{
	return is_word(name, 63)
		       ? NULL
		       : "The parameter DatabaseName must begin with a letter and contain "
			 "only letters, digits and underscores, at most 63.";
}

/* --- What the server keeps of a password ------------------------------------------------------ */

/* "*" and SHA1(SHA1(password)) in hexadecimal: mysql_native_password. */
static int native_verifier(const char *password, char ret[MASTER_VERIFIER_SIZE])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	if (!EVP_Digest(password, strlen(password), hash, &size, EVP_sha1(), NULL) ||
	    !EVP_Digest(hash, size, hash, &size, EVP_sha1(), NULL))
		return -EIO;
	ret[0] = '*';
	for (unsigned i = 0; i < size; i++)
		snprintf(ret + 1 + 2 * i, 3, "%02X", hash[i]);
	return 0;
}

static bool scram_key(const unsigned char *salted, const char *text,
		      unsigned char ret[SCRAM_KEY_SIZE])
{
	unsigned size = SCRAM_KEY_SIZE;

	return HMAC(EVP_sha256(), salted, SCRAM_KEY_SIZE, (const unsigned char *)text, strlen(text),
		    ret, &size) != NULL;
}

/* "SCRAM-SHA-256$4096:SALT$StoredKey:ServerKey", RFC 5803. */
static int scram_verifier(const char *password, char ret[MASTER_VERIFIER_SIZE])
{
	unsigned char salt[SCRAM_SALT_SIZE], salted[SCRAM_KEY_SIZE], client[SCRAM_KEY_SIZE],
		stored[SCRAM_KEY_SIZE], server[SCRAM_KEY_SIZE];
	char salt_text[32], stored_text[64], server_text[64];

	if (RAND_bytes(salt, sizeof salt) != 1 ||
	    !PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, sizeof salt, SCRAM_ITERATIONS,
			       EVP_sha256(), sizeof salted, salted) ||
	    !scram_key(salted, "Client Key", client) || !scram_key(salted, "Server Key", server) ||
	    !EVP_Digest(client, sizeof client, stored, NULL, EVP_sha256(), NULL))
		return -EIO;
	EVP_EncodeBlock((unsigned char *)salt_text, salt, sizeof salt);
	EVP_EncodeBlock((unsigned char *)stored_text, stored, sizeof stored);
	EVP_EncodeBlock((unsigned char *)server_text, server, sizeof server);
	snprintf(ret, MASTER_VERIFIER_SIZE, "SCRAM-SHA-256$%d:%s$%s:%s", SCRAM_ITERATIONS,
		 salt_text, stored_text, server_text);
	return 0;
}

int master_verifier(const struct engine *engine, const char *password,
		    char ret[MASTER_VERIFIER_SIZE], struct problem *why)
{
	int r = is_postgres(engine->name) ? scram_verifier(password, ret)
					  : native_verifier(password, ret);

	return r < 0 ? problem(why, r, "the password cannot be hashed") : 0;
}

/* --- In the server ---------------------------------------------------------------------------- */

/* What Amazon's masters may: all but what is the server's own (SUPER, FILE, SHUTDOWN). */
#define MYSQL_GRANTS                                                                        \
	"SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX," \
	" ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE,"            \
	" REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE,"   \
	" ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"

static int run(const struct cluster *cluster, const char *sql, struct problem *why)
{
	char none[8];

	return keepers_query(cluster, NULL, sql, none, sizeof none, why);
}

static int make_mysql(const struct cluster *cluster, const char *name, const char *verifier,
		      struct problem *why)
{
	bool mariadb = !strcmp(cluster->engine, "mariadb");
	char sql[2048];

	snprintf(sql, sizeof sql,
		 "CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED %s '%s';"
		 "ALTER USER '%s'@'%%' IDENTIFIED %s '%s';"
		 "GRANT " MYSQL_GRANTS " ON *.* TO '%s'@'%%' WITH GRANT OPTION",
		 name, mariadb ? "BY PASSWORD" : "WITH mysql_native_password AS", verifier, name,
		 mariadb ? "BY PASSWORD" : "WITH mysql_native_password AS", verifier, name);
	return run(cluster, sql, why);
}

static int make_postgres(const struct cluster *cluster, const char *name, const char *verifier,
			 struct problem *why)
{
	char sql[1024], there[8];
	int r;

	snprintf(sql, sizeof sql, "SELECT 1 FROM pg_roles WHERE rolname = '%s'", name);
	r = keepers_query(cluster, NULL, sql, there, sizeof there, why);
	if (r < 0)
		return r;
	snprintf(sql, sizeof sql, "%s ROLE \"%s\" LOGIN CREATEDB CREATEROLE PASSWORD '%s'",
		 there[0] ? "ALTER" : "CREATE", name, verifier);
	return run(cluster, sql, why);
}

int master_make(const struct cluster *cluster, const char *name, const char *verifier,
		struct problem *why)
{
	return is_postgres(cluster->engine) ? make_postgres(cluster, name, verifier, why)
					    : make_mysql(cluster, name, verifier, why);
}

int master_make_database(const struct cluster *cluster, const char *database, const char *user,
			 struct problem *why)
{
	char sql[512], there[8];
	int r;

	if (!is_postgres(cluster->engine)) {
		snprintf(sql, sizeof sql, "CREATE DATABASE IF NOT EXISTS `%s`", database);
		return run(cluster, sql, why);
	}
	snprintf(sql, sizeof sql, "SELECT 1 FROM pg_database WHERE datname = '%s'", database);
	r = keepers_query(cluster, NULL, sql, there, sizeof there, why);
	if (r < 0 || there[0])
		return r;
	snprintf(sql, sizeof sql, "CREATE DATABASE \"%s\" OWNER \"%s\"", database, user);
	return run(cluster, sql, why);
}
