/* bulk.run: many jobs retried, discarded, edited or cancelled by a filter. It is a job itself: it goes on where it was whatever dies, takes so many a
 * second and no more than were confirmed, says how far it is, and can be paused and cancelled. */
#ifndef BULK_BULK_H
#define BULK_BULK_H

#include <jobs/type.h>

extern const struct module bulk_module;

#endif
