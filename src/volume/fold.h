/*
 * Fold: move the oldest stretch of the tape into the base.
 *
 * One step takes the base from position B to B', along a part of the tape that the lineages of all
 * reachable states have in common:
 *
 *   1. apply the change records of [B, B') to the base's state: its extents are then the newest
 * version of each range, and nothing else is moved;
 *   2. work out every page of checksums that changes, and the new content of every block that is
 * only partly covered by extents; write both, with the state and its extents, to "base/intent";
 * make that durable. From here on the horizon is published: what is before it may be gone;
 *   3. write the blocks in place: fully covered ones from the tape, the others and the checksums
 * from the intent; sync them;
 *   4. replace "base/state", remove the intent, let readers take the base's version, then drop the
 * segments that no lineage needs.
 *
 * A crash before the end of 2 leaves nothing; after it, opening finds the intent and does 3 and 4
 * again: each write there is the same however often it is done, and takes nothing from the base as
 * it was.
 *
 * Readers: no reachable state reads a fully covered block from the base, for it has the extents (or
 * newer ones). Partly covered blocks, and the pages of checksums, change under base_lock, all of an
 * inode together.
 */
#pragma once

#include "volume/internal.h"
