#include "exits.h"

#include <stdlib.h>

static const struct {
    int code;
    const char *when;
} exits[] = {
#define E(id, code, when) {code, when},
#include "exits.def"
#undef E
};

void exits_describe(struct buf *out) {
    for (size_t i = 0; i < sizeof exits / sizeof exits[0]; i++) {
        buf_addf(out, "  %3d  %s\n", exits[i].code, exits[i].when);
    }
}

int exit_of_status(int status) {
    switch (status) {
    case 401:
    case 403:
        return EXIT_DENIED;
    case 404:
    case 410:
        return EXIT_NO_INPUT;
    case 408:
    case 425:
    case 429:
    case 502:
    case 503:
    case 504:
        return EXIT_AGAIN;
    case 409:
    case 412:
        return EXIT_FAILED;
    default:
        return status >= 500 ? EXIT_INTERNAL : status >= 400 ? EXIT_BAD_INPUT : EXIT_SUCCESS;
    }
}
