#include "http_vet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#define NOT_PUBLIC "only https on port 443 or 8443 is allowed"

/* Everything is compared as IPv6; an IPv4 address is its mapped form, so that ::ffff:127.0.0.1 and 127.0.0.1 are one. */
struct ip {
    uint8_t b[16];
};
struct cidr {
    struct ip ip;
    unsigned bits;
};
enum { IPV4_PREFIX_BITS = 96, PORT_HTTPS = 443, PORT_HTTPS_ALT = 8443 };

/* Not the public Internet: IANA special-purpose registries, and the ranges that carry an IPv4 address inside. */
static const char denied[] =
    "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12," /* this net, private, CGN, loopback, link-local */
    "192.0.0.0/24,192.0.2.0/24,192.88.99.0/24,192.168.0.0/16,198.18.0.0/15,198.51.100.0/24," /* protocols, examples, 6to4 relay, private, benchmarks */
    "203.0.113.0/24,224.0.0.0/3,"                                 /* examples, multicast, reserved, broadcast */
    "::/96,::ffff:0:0:0/96,64:ff9b::/96,64:ff9b:1::/48,100::/64," /* ::, ::1, IPv4-compatible and -translated, NAT64, discard */
    "2001::/23,2001:db8::/32,2002::/16,3fff::/20,5f00::/16,"      /* protocols (Teredo), examples, 6to4, examples, SRv6 */
    "fc00::/7,fe80::/10,fec0::/10,ff00::/8";                      /* unique local, link-local, site-local, multicast */

static struct ip ip_mapped(const void *v4) {
    struct ip ip = {.b = {[10] = 0xff, [11] = 0xff}};
    memcpy(ip.b + 12, v4, 4);
    return ip;
}

static bool cidr_parse(struct str text, struct cidr *out) {
    struct str address;
    char host[INET6_ADDRSTRLEN];
    uint64_t bits;
    struct in_addr v4;
    struct ip v6;
    if (!str_cut(&text, '/', &address) || !str_copy_c(address, host, sizeof host) || !str_to_u64(text, &bits)) {
        return false;
    }
    if (inet_pton(AF_INET, host, &v4) == 1 && bits <= 32) {
        *out = (struct cidr){ip_mapped(&v4), IPV4_PREFIX_BITS + (unsigned)bits};
        return true;
    }
    if (inet_pton(AF_INET6, host, v6.b) == 1 && bits <= 128) {
        *out = (struct cidr){v6, (unsigned)bits};
        return true;
    }
    return false;
}

static bool cidr_covers(const struct cidr *c, const struct ip *ip) {
    unsigned whole = c->bits / 8;
    unsigned rest = c->bits % 8;
    unsigned mask = (0xff00U >> rest) & 0xffU;
    return memcmp(c->ip.b, ip->b, whole) == 0 && (rest == 0 || ((c->ip.b[whole] ^ ip->b[whole]) & mask) == 0);
}

struct err http_cidr_check(const char *list) {
    struct str rest = str_c(list);
    struct str one;
    struct cidr c;
    while (str_cut(&rest, ',', &one)) {
        if (!cidr_parse(str_trim(one), &c)) {
            return err_make(ERR_INVALID, "not an address range (like 127.0.0.0/8): %.*s", STR_ARG(one));
        }
    }
    return OK;
}

static bool ip_of(const struct sockaddr *address, struct ip *out) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        *out = ip_mapped(&in.sin_addr);
        return true;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        memcpy(out->b, &in6.sin6_addr, sizeof out->b);
        return true;
    }
    return false;
}

bool http_cidr_has(const char *list, const struct sockaddr *address) {
    struct str rest = str_c(list);
    struct str one;
    struct ip ip;
    struct cidr c;
    if (!ip_of(address, &ip)) {
        return false;
    }
    while (str_cut(&rest, ',', &one)) {
        if (cidr_parse(str_trim(one), &c) && cidr_covers(&c, &ip)) {
            return true;
        }
    }
    return false;
}

bool http_address_allowed(const struct sockaddr *address, const char *allow_cidr) {
    struct ip ip;
    return ip_of(address, &ip) && (http_cidr_has(allow_cidr, address) || !http_cidr_has(denied, address));
}

struct err http_url_parse(struct str text, CURLU **out) {
    for (size_t i = 0; i < text.n; i++) {
        unsigned char ch = (unsigned char)text.p[i];
        if (ch <= ' ' || ch == 0x7f) {
            return err_make(ERR_INVALID, "url: byte 0x%02x is not allowed", ch);
        }
    }
    char *copy = strndup(text.n > 0 ? text.p : "", text.n);
    CURLU *url = curl_url();
    CURLUcode rc = copy != NULL && url != NULL ? curl_url_set(url, CURLUPART_URL, copy, 0) : CURLUE_OUT_OF_MEMORY;
    free(copy);
    if (rc != CURLUE_OK) {
        curl_url_cleanup(url);
        return err_make(rc == CURLUE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_INVALID, "url: %s", curl_url_strerror(rc));
    }
    *out = url;
    return OK;
}

static bool url_has(CURLU *url, CURLUPart part) {
    char *value = NULL;
    CURLUcode rc = curl_url_get(url, part, &value, 0);
    curl_free(value);
    return rc == CURLUE_OK;
}

static bool url_is_public(CURLU *url) {
    char *scheme = NULL;
    char *port = NULL;
    int64_t n = 0;
    bool yes = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
               curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK && str_is(str_c(scheme), "https") &&
               str_to_i64(str_c(port), &n) && (n == PORT_HTTPS || n == PORT_HTTPS_ALT);
    curl_free(scheme);
    curl_free(port);
    return yes;
}

/* Names that are an address wherever they are asked for (RFC 6761). */
static bool is_localhost(const char *host) {
    static const char name[] = ".localhost";
    const size_t name_n = sizeof name - 1;
    size_t n = strlen(host);
    n -= n > 0 && host[n - 1] == '.';
    return (n == name_n - 1 && strncasecmp(host, name + 1, n) == 0) ||
           (n >= name_n && strncasecmp(host + n - name_n, name, name_n) == 0);
}

/* The address that the host is (libcurl has made 127.0.0.1 of 0x7f.1); false: it is a name, and has to be asked for. */
static bool host_address(const char *host, struct sockaddr_storage *out) {
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct str inner = str_c(host);
    if (inner.n > 2 && inner.p[0] == '[') {
        inner = str_of(inner.p + 1, inner.n - 2);
    }
    if (!str_copy_c(is_localhost(host) ? STR("127.0.0.1") : inner, text, sizeof text)) {
        return false;
    }
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(out, &in, sizeof in);
        return true;
    }
    if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
        memcpy(out, &in6, sizeof in6);
        return true;
    }
    return false;
}

static struct err vet_host(CURLU *url, const char *allow_cidr, bool is_public) {
    struct sockaddr_storage address;
    char *host = NULL;
    if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK) {
        return err_make(ERR_NOMEM, "url");
    }
    bool known = host_address(host, &address);
    curl_free(host);
    const struct sockaddr *a = (const struct sockaddr *)&address;
    if (known && !http_address_allowed(a, allow_cidr)) {
        return err_make(ERR_NET_ADDRESS, "the address is private or reserved");
    }
    if (known && !is_public && !http_cidr_has(allow_cidr, a)) {
        return err_make(ERR_NET_ADDRESS, NOT_PUBLIC);
    }
    return OK;
}

struct err http_url_vet(struct str text, const char *allow_cidr) {
    CURLU *url;
    bool is_public;
    TRY(http_url_parse(text, &url));
    struct err e = http_vet_url(url, allow_cidr[0] != '\0', &is_public);
    if (!err_is_set(e)) {
        e = vet_host(url, allow_cidr, is_public);
    }
    curl_url_cleanup(url);
    return e;
}

struct err http_vet_url(CURLU *url, bool some_exempt, bool *out_public) {
    if (url_has(url, CURLUPART_USER) || url_has(url, CURLUPART_PASSWORD)) {
        return err_make(ERR_NET_ADDRESS, "the url must not carry a user or password");
    }
    bool is_public = url_is_public(url);
    if (!is_public && !some_exempt) {
        return err_make(ERR_NET_ADDRESS, NOT_PUBLIC);
    }
    *out_public = is_public;
    return OK;
}
