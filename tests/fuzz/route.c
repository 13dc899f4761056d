/* "METHOD path": the router and percent-decoding. A found path is its template with the parameter put in; a decoded one has no NUL and,
 * encoded again, decodes to itself. */
#include "../../api/src/route.h"

#include <io/http_server.h>

#include "fuzz.h"

static void judge_found(const struct route *r, struct str path, struct str param) {
    char text[512];
    const char *open = strchr(r->path, '{');
    if (open == NULL) {
        PROMISE(param.n == 0 && str_is(path, r->path));
        return;
    }
    PROMISE(param.n > 0 && ((r->flags & ROUTE_PAGE) != 0 || memchr(param.p, '/', param.n) == NULL));
    int n = snprintf(text, sizeof text, "%.*s%s", (int)(open - r->path), r->path, strchr(open, '}') + 1);
    PROMISE(path.n == (size_t)n + param.n);
    PROMISE(memcmp(path.p, text, (size_t)(open - r->path)) == 0);
    PROMISE(str_eq(str_of(param.p + param.n, path.n - (size_t)(param.p + param.n - path.p)), str_c(strchr(open, '}') + 1)));
}

/* Every method in the list finds a route, and none else does. */
static void judge_allow(const char *allow, struct str method, struct str path) {
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    char other[ROUTE_ALLOW_BYTES];
    struct str param;
    PROMISE(strlen(allow) < ROUTE_ALLOW_BYTES - 1);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        bool listed = false;
        struct str rest = str_c(allow), one;
        while (str_cut(&rest, ',', &one)) {
            listed = listed || str_is(str_trim(one), methods[i]);
        }
        PROMISE(listed == (route_find(str_c(methods[i]), path, &param, other) != NULL));
        PROMISE(!listed || !str_is(method, methods[i]));
    }
}

static void judge_decoding(struct str s) {
    struct arena arena;
    struct buf encoded;
    arena_init(&arena, 4096, 1024 * 1024);
    buf_init(&encoded, 1024 * 1024);
    struct str once = http_decode(&arena, s);
    if (once.p != NULL) {
        PROMISE(once.n <= s.n && memchr(once.p, '\0', once.n) == NULL);
        PROMISE(s.n == 0 || memchr(s.p, '%', s.n) != NULL || str_eq(once, s));
        for (size_t i = 0; i < once.n; i++) {
            buf_addf(&encoded, "%%%02X", (unsigned char)once.p[i]);
        }
        PROMISE(str_eq(once, http_decode(&arena, buf_str(&encoded))));
    }
    buf_free(&encoded);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str path = str_of(data, size), method = STR(""), param = STR("");
    char allow[ROUTE_ALLOW_BYTES];
    if (memchr(data, '\0', size) != NULL) { /* llhttp refuses them */
        return 0;
    }
    (void)str_cut(&path, ' ', &method);
    const struct route *r = route_find(method, path, &param, allow);
    if (r != NULL) {
        PROMISE(str_is(method, r->method) || (str_is(method, "HEAD") && strcmp(r->method, "GET") == 0));
        judge_found(r, path, param);
    } else {
        judge_allow(allow, method, path);
    }
    judge_decoding(param);
    judge_decoding(path);
    return 0;
}
