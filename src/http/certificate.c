#include "http/certificate.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#define FILE_MAX (1 << 20)
#define CHAIN_MAX 16

struct loaded {
	gnutls_x509_crt_t chain[CHAIN_MAX];
	unsigned count;
	gnutls_x509_privkey_t key;
};

struct http_certificate {
	char *chain_path, *key_path;
	pthread_mutex_t lock;
	struct loaded loaded; /* lock */
};

static void unload(struct loaded *loaded)
{
	for (unsigned i = 0; i < loaded->count; i++)
		gnutls_x509_crt_deinit(loaded->chain[i]);
	if (loaded->key)
		gnutls_x509_privkey_deinit(loaded->key);
	*loaded = (struct loaded){0};
}

/* The whole file, and a NUL; the caller frees ret->data. */
static int read_file(const char *path, bool is_secret, gnutls_datum_t *ret, struct problem *why)
{
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(free) unsigned char *data = NULL;
	struct stat st;
	ssize_t size;

	if (fd < 0 || fstat(fd, &st) < 0)
		return problem_errno(why, -errno, "cannot open '%s'", path);
	if (is_secret && st.st_mode & S_IROTH)
		return problem(why, -EPERM,
			       "'%s' is a private key that everybody may read; chmod it to 600",
			       path);
	data = xmalloc(FILE_MAX + 1);
	size = read(fd, data, FILE_MAX + 1);
	if (size < 0)
		return problem_errno(why, -errno, "cannot read '%s'", path);
	if (size > FILE_MAX)
		return problem(why, -EBADMSG, "'%s' is larger than %d bytes", path, FILE_MAX);
	data[size] = 0;
	*ret = (gnutls_datum_t){.data = take(data), .size = size};
	return 0;
}

static int load_chain(const char *path, struct loaded *loaded, struct problem *why)
{
	gnutls_datum_t pem;
	int r = read_file(path, false, &pem, why);

	if (r < 0)
		return r;
	loaded->count = CHAIN_MAX;
	r = gnutls_x509_crt_list_import(loaded->chain, &loaded->count, &pem, GNUTLS_X509_FMT_PEM,
					GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
	free(pem.data);
	if (r <= 0) {
		loaded->count = 0;
		return problem(why, -EBADMSG, "'%s' has no certificates in PEM: %s", path,
			       gnutls_strerror(r));
	}
	if (gnutls_x509_crt_get_expiration_time(loaded->chain[0]) < time(NULL))
		return problem(why, -EBADMSG, "the certificate in '%s' has expired", path);
	return 0;
}

static int load_key(const char *path, struct loaded *loaded, struct problem *why)
{
	gnutls_datum_t pem;
	int r = read_file(path, true, &pem, why);

	if (r < 0)
		return r;
	gnutls_x509_privkey_init(&loaded->key);
	r = gnutls_x509_privkey_import2(loaded->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	gnutls_memset(pem.data, 0, pem.size);
	free(pem.data);
	if (r < 0)
		return problem(why, -EBADMSG, "'%s' has no private key in PEM: %s", path,
			       gnutls_strerror(r));
	return 0;
}

static int check_pair(const struct http_certificate *certificate, const struct loaded *loaded,
		      struct problem *why)
{
	unsigned char of_chain[64], of_key[64];
	size_t chain_size = sizeof of_chain, key_size = sizeof of_key;
	unsigned flags = GNUTLS_KEYID_USE_SHA256;

	if (gnutls_x509_crt_get_key_id(loaded->chain[0], flags, of_chain, &chain_size) == 0 &&
	    gnutls_x509_privkey_get_key_id(loaded->key, flags, of_key, &key_size) == 0 &&
	    chain_size == key_size && !memcmp(of_chain, of_key, key_size))
		return 0;
	return problem(why, -EBADMSG,
		       "the key in '%s' is not that of the first certificate in '%s'",
		       certificate->key_path, certificate->chain_path);
}

int http_certificate_reload(struct http_certificate *certificate, struct problem *why)
{
	struct loaded loaded = {0}, old;
	int r = load_chain(certificate->chain_path, &loaded, why);

	if (r == 0)
		r = load_key(certificate->key_path, &loaded, why);
	if (r == 0)
		r = check_pair(certificate, &loaded, why);
	if (r < 0) {
		unload(&loaded);
		return r;
	}
	pthread_mutex_lock(&certificate->lock);
	old = certificate->loaded;
	certificate->loaded = loaded;
	pthread_mutex_unlock(&certificate->lock);
	unload(&old);
	return 0;
}

int http_certificate_load(const char *chain_path, const char *key_path,
			  struct http_certificate **ret, struct problem *why)
{
	CLEANUP(http_certificate)
	struct http_certificate *certificate = xcalloc(1, sizeof *certificate);
	int r;

	certificate->chain_path = xstrdup(chain_path);
	certificate->key_path = xstrdup(key_path);
	pthread_mutex_init(&certificate->lock, NULL);
	r = http_certificate_reload(certificate, why);
	if (r < 0)
		return r;
	*ret = take(certificate);
	return 0;
}

void http_certificate_free(struct http_certificate *certificate)
{
	if (!certificate)
		return;
	unload(&certificate->loaded);
	pthread_mutex_destroy(&certificate->lock);
	free(certificate->chain_path);
	free(certificate->key_path);
	free(certificate);
}

static int copy_chain(const struct loaded *loaded, gnutls_pcert_st *chain)
{
	for (unsigned i = 0; i < loaded->count; i++) {
		if (gnutls_pcert_import_x509(&chain[i], loaded->chain[i], 0) < 0) {
			while (i-- > 0)
				gnutls_pcert_deinit(&chain[i]);
			return -1;
		}
	}
	return 0;
}

static int copy(const struct loaded *loaded, gnutls_pcert_st *chain, gnutls_privkey_t key)
{
	if (gnutls_privkey_import_x509(key, loaded->key, GNUTLS_PRIVKEY_IMPORT_COPY) < 0)
		return -1;
	return copy_chain(loaded, chain);
}

int http_certificate_copy(struct http_certificate *certificate, gnutls_pcert_st **ret_chain,
			  unsigned *ret_count, gnutls_privkey_t *ret_key)
{
	gnutls_pcert_st *chain;
	gnutls_privkey_t key;
	int r;

	if (gnutls_privkey_init(&key) < 0)
		return -1;
	pthread_mutex_lock(&certificate->lock);
	chain = xcheck(gnutls_calloc(certificate->loaded.count, sizeof *chain));
	r = copy(&certificate->loaded, chain, key);
	*ret_count = certificate->loaded.count;
	pthread_mutex_unlock(&certificate->lock);
	if (r < 0) {
		gnutls_privkey_deinit(key);
		gnutls_free(chain);
		return -1;
	}
	*ret_chain = chain;
	*ret_key = key;
	return 0;
}
