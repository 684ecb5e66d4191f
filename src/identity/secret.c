#include "identity/secret.h"
#include "aws/text.h"
#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>

#define NONCE_SIZE 12
#define TAG_SIZE 16

/* Without random numbers every secret would be a guess: as with memory, there is no going on. */
static void must(int done)
{
	if (done == 1)
		return;
	fputs("libcrypto does not work\n", stderr);
	abort();
}

static int sync_folder(const char *path)
{
	CLEANUP(free) char *copy = xstrdup(path);
	CLEANUP(fd) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Whole or not at all: what is half written has another name. */
static int make_key(const char *path, struct secret_key *ret, struct problem *why)
{
	CLEANUP(free) char *temporary = NULL;
	CLEANUP(fd) int fd = -1;

	must(RAND_bytes(ret->bytes, sizeof ret->bytes));
	if (asprintf(&temporary, "%s.new", path) < 0)
		return -ENOMEM;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return problem_errno(why, -errno, "cannot make the key file '%s'", temporary);
	if (fchmod(fd, 0600) < 0 || write(fd, ret->bytes, sizeof ret->bytes) != sizeof ret->bytes ||
	    fsync(fd) < 0 || rename(temporary, path) < 0)
		return problem_errno(why, -errno, "cannot write the key file '%s'", path);
	return sync_folder(path);
}

int secret_key_load(const char *path, bool make, struct secret_key *ret, struct problem *why)
{
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT && make)
		return make_key(path, ret, why);
	if (fd < 0 || fstat(fd, &st) < 0)
		return problem_errno(why, -errno, "cannot read the key file '%s'", path);
	if (st.st_mode & 077)
		return problem(
			why, -EPERM,
			"the key file '%s' can be read by others than its owner (mode %03o): "
			"chmod 600 it",
			path, (unsigned)st.st_mode & 0777);
	if (st.st_size != sizeof ret->bytes ||
	    read(fd, ret->bytes, sizeof ret->bytes) != sizeof ret->bytes)
		return problem(why, -EBADMSG, "'%s' is no key file: it has %lld bytes, not %zu",
			       path, (long long)st.st_size, sizeof ret->bytes);
	return 0;
}

void secret_seal(const struct secret_key *key, const char *name, const void *plain, size_t size,
		 struct buffer *ret)
{
	EVP_CIPHER_CTX *cipher = xcheck(EVP_CIPHER_CTX_new());
	uint8_t *nonce = buffer_extend(ret, NONCE_SIZE + size + TAG_SIZE);
	int done;

	must(RAND_bytes(nonce, NONCE_SIZE));
	must(EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->bytes, nonce));
	must(EVP_EncryptUpdate(cipher, NULL, &done, (const uint8_t *)name, (int)strlen(name)));
	must(EVP_EncryptUpdate(cipher, nonce + NONCE_SIZE, &done, plain, (int)size));
	must(EVP_EncryptFinal_ex(cipher, nonce + NONCE_SIZE + done, &done));
	must(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE,
				 nonce + NONCE_SIZE + size));
	EVP_CIPHER_CTX_free(cipher);
}

static bool open_into(EVP_CIPHER_CTX *cipher, const struct secret_key *key, const char *name,
		      const uint8_t *sealed, size_t size, uint8_t *plain)
{
	uint8_t tag[TAG_SIZE];
	int done;

	memcpy(tag, sealed + NONCE_SIZE + size, TAG_SIZE);
	return EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->bytes, sealed) == 1 &&
	       EVP_DecryptUpdate(cipher, NULL, &done, (const uint8_t *)name, (int)strlen(name)) ==
		       1 &&
	       EVP_DecryptUpdate(cipher, plain, &done, sealed + NONCE_SIZE, (int)size) == 1 &&
	       EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
	       EVP_DecryptFinal_ex(cipher, plain + done, &done) == 1;
}

int secret_open(const struct secret_key *key, const char *name, const void *sealed, size_t size,
		struct buffer *ret)
{
	EVP_CIPHER_CTX *cipher;
	uint8_t *plain;
	bool good;

	if (size < SECRET_OVERHEAD || size > INT32_MAX)
		return -EBADMSG;
	size -= SECRET_OVERHEAD;
	plain = buffer_extend(ret, size);
	cipher = xcheck(EVP_CIPHER_CTX_new());
	good = open_into(cipher, key, name, sealed, size, plain);
	EVP_CIPHER_CTX_free(cipher);
	if (good)
		return 0;
	OPENSSL_cleanse(plain, size);
	ret->size -= size;
	return -EBADMSG;
}

/* 30 bytes are 40 digits of base64. */
static void put_secret(const uint8_t bytes[30], char ret[SECRET_TEXT_SIZE])
{
	CLEANUP(buffer) struct buffer text = {0};

	aws_base64_put(&text, bytes, 30);
	memcpy(ret, text.data, SECRET_TEXT_SIZE - 1);
	ret[SECRET_TEXT_SIZE - 1] = 0;
	OPENSSL_cleanse(text.data, text.size);
}

void secret_derive(const struct secret_key *key, const char *name, char ret[SECRET_TEXT_SIZE])
{
	uint8_t hash[EVP_MAX_MD_SIZE];

	xcheck(HMAC(EVP_sha256(), key->bytes, sizeof key->bytes, (const uint8_t *)name,
		    strlen(name), hash, NULL));
	put_secret(hash, ret);
	OPENSSL_cleanse(hash, sizeof hash);
}

void secret_random(char ret[SECRET_TEXT_SIZE])
{
	uint8_t bytes[30];

	must(RAND_bytes(bytes, sizeof bytes));
	put_secret(bytes, ret);
	OPENSSL_cleanse(bytes, sizeof bytes);
}

void secret_random_id(const char *prefix, char *ret, size_t size)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	size_t used = strlen(prefix);

	memcpy(ret, prefix, used);
	must(RAND_bytes((uint8_t *)ret + used, (int)(size - 1 - used)));
	for (; used < size - 1; used++)
		ret[used] = letters[(uint8_t)ret[used] % 32];
	ret[used] = 0;
}

void secret_random_digits(char *ret, size_t size)
{
	uint8_t byte;

	for (size_t i = 0; i < size - 1;) {
		must(RAND_bytes(&byte, 1));
		/* 250 and more would make some digits likelier; and no number begins with 0. */
		if (byte < 250 && (i > 0 || byte % 10))
			ret[i++] = (char)('0' + byte % 10);
	}
	ret[size - 1] = 0;
}

void secret_hash(const void *data, size_t size, uint8_t ret[SECRET_HASH_SIZE])
{
	must(EVP_Digest(data, size, ret, NULL, EVP_sha256(), NULL));
}
