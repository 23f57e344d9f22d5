/* What init calls of own.c, which says what it is for. */
#define OWN_FILE "/run/virtscale-own"

/* Makes the file; readable when there is something to look at. */
int own_watch(void);
void own_look(int events);
