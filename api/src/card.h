/* Card numbers that come in where nobody asked for one must not stay in the log. */
#ifndef API_CARD_H
#define API_CARD_H

#include <base/arena.h>
#include <base/str.h>

/* The text; where it has what a card may have (13 to 19 digits that pass Luhn's test, at a stretch or parted by single "-", " ", "+" or "%20"),
 * a copy in the arena with stars for those digits. "?" when there is no memory for it. */
struct str card_hidden(struct str text, struct arena *a);

#endif
