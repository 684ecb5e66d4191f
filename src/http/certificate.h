/*
 * Certificate: the chain and the private key that a server shows, from two PEM files, replaced
 * while it runs.
 *
 * A handshake takes copies: one that has begun goes on with what it was given.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

struct http_certificate;

/*
 * Read both files.  The chain begins with the server's own certificate.  -EBADMSG when one is not
 * what it should be, when the key is not the certificate's, or the certificate has expired; -EPERM
 * when the key may be read by everybody.  The caller owns *ret.
 */
int http_certificate_load(const char *chain_path, const char *key_path,
			  struct http_certificate **ret, struct problem *why);
/* Read the same files again; on failure what was there stays in use. */
int http_certificate_reload(struct http_certificate *certificate, struct problem *why);
void http_certificate_free(struct http_certificate *certificate);
DEFINE_CLEANUP(struct http_certificate *, http_certificate, http_certificate_free)

/* Copies for one handshake, from gnutls_malloc(); 0 or -1, as GnuTLS's callbacks have it. */
int http_certificate_copy(struct http_certificate *certificate, gnutls_pcert_st **ret_chain,
			  unsigned *ret_count, gnutls_privkey_t *ret_key);
