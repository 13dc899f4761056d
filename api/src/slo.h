/* How the objectives are kept: platform.slo_day, read every ten seconds, so that looking costs nothing. */
#ifndef API_SLO_H
#define API_SLO_H

#include <base/err.h>

struct api;
struct slo_board;

MUST struct err slo_board_new(struct api *api, struct slo_board **out);
void slo_board_start(struct slo_board *b);
void slo_board_stop(struct slo_board *b); /* while the loop is there; NULL is fine. What is left is freed by free() */

#endif
