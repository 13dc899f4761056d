#include "card.h"

#include <string.h>

enum { DIGITS_MIN = 13, DIGITS_MAX = 19 };

/* That stands for itself: not within a "%20". */
static bool is_digit(struct str s, size_t at) {
    return at < s.n && s.p[at] >= '0' && s.p[at] <= '9' && !(at >= 1 && s.p[at - 1] == '%') && !(at >= 2 && s.p[at - 2] == '%');
}

/* Of what parts two digits here; 0: nothing does. */
static size_t gap_length(struct str s, size_t at) {
    if (at >= s.n) {
        return 0;
    }
    size_t n = memchr("- +", s.p[at], 3) != NULL ? 1 : at + 3 <= s.n && memcmp(s.p + at, "%20", 3) == 0 ? 3 : 0;
    return n > 0 && is_digit(s, at + n) ? n : 0;
}

static bool is_card(const char *digit, size_t n) {
    int sum = 0;
    for (size_t i = 0; i < n; i++) {
        int value = (digit[n - 1 - i] - '0') * (i % 2 == 1 ? 2 : 1);
        sum += value > 9 ? value - 9 : value;
    }
    return n >= DIGITS_MIN && sum % 10 == 0;
}

/* Where the longest number of a card that begins here ends; the same place when none does. It ends with its digits, or with a group of
 * them: behind it may stand what else is printed on the card. */
static size_t card_end(struct str s, size_t from, bool parted) {
    char digit[DIGITS_MAX];
    size_t at = from, n = 0, end = from;
    while (is_digit(s, at) && n < DIGITS_MAX) {
        digit[n++] = s.p[at++];
        size_t gap = parted ? gap_length(s, at) : 0;
        end = (gap > 0 || !is_digit(s, at)) && is_card(digit, n) ? at : end;
        at += gap;
    }
    return end;
}

static size_t number_end(struct str s, size_t from) {
    size_t end = card_end(s, from, false);
    return end != from ? end : card_end(s, from, true);
}

struct str card_hidden(struct str text, struct arena *a) {
    char *copy = NULL;
    for (size_t i = 0; i < text.n; i++) {
        size_t end = is_digit(text, i) && !(i > 0 && is_digit(text, i - 1)) ? number_end(text, i) : i;
        if (end == i) {
            continue;
        }
        if (copy == NULL) {
            copy = (char *)arena_str(a, text).p;
        }
        if (copy == NULL) {
            return STR("?");
        }
        for (; i < end; i++) {
            copy[i] = is_digit(text, i) ? '*' : copy[i];
        }
    }
    return copy != NULL ? str_of(copy, text.n) : text;
}
