// How much of the past one commit may clear away. Not here: what is kept (sqlite-store.ts).

/** Old rows of one kind that one commit removes at the most: a lowered retention is reached over several commits, none of them long. */
export const PRUNE_MAX = 1000;
