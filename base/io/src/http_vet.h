/* The SSRF rules (io/http_client.h). They are applied to the resolved address when a socket is opened: a name that resolves
 * to another address the second time, 2130706433, 0x7f.1 and ::ffff:127.0.0.1 all end there. */
#ifndef HTTP_VET_H
#define HTTP_VET_H

#include <base/err.h>
#include <io/http_client.h>

#include <curl/curl.h>

/* ERR_INVALID naming the range that is not "address/bits". */
MUST struct err http_cidr_check(const char *list);
bool http_cidr_has(const char *list, const struct sockaddr *address);

/* *out is the caller's (curl_url_cleanup). ERR_INVALID for what is no url, and for spaces and control characters in it. */
MUST struct err http_url_parse(struct str text, CURLU **out);
/* What can be judged before the name is resolved. *out_public: https on 443 or 8443, that is, any allowed address will do;
 * else only an exempt one will (some_exempt: there are any). ERR_NET_ADDRESS when no address will do, or with userinfo. */
MUST struct err http_vet_url(CURLU *url, bool some_exempt, bool *out_public);

#endif
