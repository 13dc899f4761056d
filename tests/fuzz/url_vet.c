/* Outgoing URLs: url, list of ranges, address bytes. The oracle has a table of its own, written from the IANA registries, and compares bit
 * by bit. */
#include "../../base/io/src/http_vet.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "fuzz.h"

#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff"

static const struct {
    unsigned bits;
    const char *prefix; /* bits rounded up to bytes */
} forbidden[] = {
    {104, MAPPED "\x00"},             /* this net */
    {104, MAPPED "\x0a"},             /* private */
    {106, MAPPED "\x64\x40"},         /* carriers' */
    {104, MAPPED "\x7f"},             /* loopback */
    {112, MAPPED "\xa9\xfe"},         /* link-local */
    {108, MAPPED "\xac\x10"},         /* private */
    {120, MAPPED "\xc0\x00\x00"},     /* protocols */
    {120, MAPPED "\xc0\x00\x02"},     /* example 1 */
    {120, MAPPED "\xc0\x58\x63"},     /* 6to4 relays */
    {112, MAPPED "\xc0\xa8"},         /* private */
    {111, MAPPED "\xc6\x12"},         /* benchmarks */
    {120, MAPPED "\xc6\x33\x64"},     /* example 2 */
    {120, MAPPED "\xcb\x00\x71"},     /* example 3 */
    {99, MAPPED "\xe0"},              /* multicast, reserved, broadcast */
    {96, "\0\0\0\0\0\0\0\0\0\0\0\0"}, /* unspecified, loopback, IPv4-compatible */
    {96, "\0\0\0\0\0\0\0\0\xff\xff\0\0"},
    {96, "\x00\x64\xff\x9b\0\0\0\0\0\0\0\0"}, /* NAT64 */
    {48, "\x00\x64\xff\x9b\x00\x01"},
    {64, "\x01\x00\0\0\0\0\0\0"}, /* discard */
    {23, "\x20\x01\x00"},         /* protocols, Teredo */
    {32, "\x20\x01\x0d\xb8"},     /* examples */
    {16, "\x20\x02"},             /* 6to4 */
    {20, "\x3f\xff\x00"},         /* examples */
    {16, "\x5f\x00"},             /* SRv6 */
    {7, "\xfc"},                  /* unique local */
    {10, "\xfe\x80"},             /* link-local */
    {10, "\xfe\xc0"},             /* site-local */
    {8, "\xff"},                  /* multicast */
};

static bool starts_with(const uint8_t address[16], const void *prefix, unsigned bits) {
    const uint8_t *p = prefix;
    unsigned same = 0;
    while (same < bits && ((address[same / 8] ^ p[same / 8]) >> (7 - same % 8) & 1) == 0) {
        same++;
    }
    return same == bits;
}

static bool is_forbidden(const uint8_t address[16]) {
    bool found = false;
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        found = found || starts_with(address, forbidden[i].prefix, forbidden[i].bits);
    }
    return found;
}

static bool mapped_of(const struct sockaddr *a, uint8_t out[16]) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (a->sa_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, 16);
    } else if (a->sa_family == AF_INET) {
        memcpy(out, mapped, 12);
        memcpy(out + 12, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
    }
    return a->sa_family == AF_INET6 || a->sa_family == AF_INET;
}

static void judge_address(const struct sockaddr *a) {
    uint8_t b[16];
    PROMISE(mapped_of(a, b));
    PROMISE(http_address_allowed(a, NULL) == !is_forbidden(b));
}

/* An address in one of the forbidden ranges: its prefix before the bits of the input, the last of which choose it. */
static void judge_inside(struct sockaddr_in6 address) {
    uint8_t *b = address.sin6_addr.s6_addr;
    size_t row = b[15] % (sizeof forbidden / sizeof forbidden[0]);
    for (unsigned bit = 0; bit < forbidden[row].bits; bit++) {
        uint8_t mask = (uint8_t)(0x80U >> bit % 8);
        b[bit / 8] = (uint8_t)((b[bit / 8] & ~mask) | ((uint8_t)forbidden[row].prefix[bit / 8] & mask));
    }
    judge_address((const struct sockaddr *)&address);
}

/* What the host stands for when it is a number in any spelling, 0x7f.1 and 2130706433 too. */
static void judge_host(CURLU *url) {
    struct addrinfo *found = NULL;
    const struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    char *host = NULL;
    PROMISE(curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] != '\0');
    size_t n = strlen(host);
    bool bracketed = host[0] == '[' && host[n - 1] == ']';
    host[n - (bracketed ? 1 : 0)] = '\0';
    if (getaddrinfo(host + (bracketed ? 1 : 0), NULL, &numeric, &found) == 0) {
        judge_address(found->ai_addr);
        freeaddrinfo(found);
    }
    curl_free(host);
}

static bool authority_has_at(const char *url) {
    const char *at = strchr(url, ':');
    for (at += at != NULL; at != NULL && *at == '/'; at++) {
    }
    size_t n = at != NULL ? strcspn(at, "/?#") : 0;
    return memchr(at != NULL ? at : "", '@', n) != NULL;
}

static void judge_url(struct str text) {
    CURLU *url = NULL;
    bool is_public = false, exempt_public = false;
    struct err e = http_url_parse(text, &url);
    if (err_is_set(e)) {
        PROMISE(e.code == ERR_INVALID && url == NULL);
        return;
    }
    struct err strict = http_vet_url(url, false, &is_public);
    struct err exempt = http_vet_url(url, true, &exempt_public);
    PROMISE(err_is_set(strict) || (is_public && !err_is_set(exempt) && exempt_public));
    if (!err_is_set(exempt)) {
        char *copy = fuzz_c_string(text);
        PROMISE(!authority_has_at(copy));
        free(copy);
    }
    if (!err_is_set(strict)) {
        char *scheme = NULL, *port = NULL;
        PROMISE(curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && strcmp(scheme, "https") == 0);
        PROMISE(curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK);
        PROMISE(strcmp(port, "443") == 0 || strcmp(port, "8443") == 0);
        curl_free(scheme);
        curl_free(port);
        judge_host(url);
    }
    curl_url_cleanup(url);
}

/* One range of an accepted list against one address. */
static bool covers(struct str range, const uint8_t address[16]) {
    struct str text;
    uint8_t b[16] = {[10] = 0xff, [11] = 0xff};
    PROMISE(str_cut(&range, '/', &text));
    char *name = fuzz_c_string(str_trim(text));
    uint64_t bits = 0;
    PROMISE(str_to_u64(range, &bits));
    bool v4 = inet_pton(AF_INET, name, b + 12) == 1;
    PROMISE(v4 || inet_pton(AF_INET6, name, b) == 1);
    free(name);
    return starts_with(address, b, (unsigned)bits + (v4 ? 96 : 0));
}

static void judge_ranges(struct str list, const struct sockaddr_in6 *address) {
    char *text = fuzz_c_string(list);
    uint8_t b[16];
    bool expected = false;
    (void)mapped_of((const struct sockaddr *)address, b);
    if (!err_is_set(http_cidr_check(text))) {
        struct str rest = str_c(text), one;
        while (str_cut(&rest, ',', &one)) {
            expected = covers(str_trim(one), b) || expected;
        }
        PROMISE(http_cidr_has(text, (const struct sockaddr *)address) == expected);
        PROMISE(http_address_allowed((const struct sockaddr *)address, text) ==
                (expected || http_address_allowed((const struct sockaddr *)address, NULL)));
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str rest = str_of(data, size);
    struct str url = fuzz_text(&rest), list = fuzz_text(&rest);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    memcpy(&address.sin6_addr, rest.p, rest.n < 16 ? rest.n : 16);
    judge_url(url);
    judge_address((const struct sockaddr *)&address);
    judge_inside(address);
    judge_ranges(list, &address);
    free((void *)(uintptr_t)url.p);
    free((void *)(uintptr_t)list.p);
    return 0;
}
