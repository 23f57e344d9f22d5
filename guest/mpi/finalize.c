/* Loaded before MPICH into each rank (LD_PRELOAD, by mpirun): an MPI_Finalize that seldom waits for ever.
 *
 * MPICH 4.0 over UCX ends in steps, one of which waits for all others without looking at the connections any more; a rank that still needs an
 * answer by then (seen where ranks have hardly talked to each other) never gets it. So every rank talks to every other one first, and goes
 * on answering for a while. Weak, since mpirun also runs what is no MPI program. */
#include <mpi.h>
#include <sched.h>
#include <stdlib.h>

#pragma weak PMPI_Alltoall
#pragma weak PMPI_Comm_size
#pragma weak PMPI_Finalize
#pragma weak PMPI_Iprobe
#pragma weak PMPI_Wtime

static const double ANSWERING_S = 0.2;

static void answer(void) {
  int is_there;
  for (double end = PMPI_Wtime() + ANSWERING_S; PMPI_Wtime() < end; sched_yield())
    PMPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &is_there, MPI_STATUS_IGNORE);
}

int MPI_Finalize(void) {
  int size = 0, *words = NULL;
  if (PMPI_Comm_size(MPI_COMM_WORLD, &size) == MPI_SUCCESS && size > 1 && (words = calloc(2 * (size_t)size, sizeof *words))) {
    for (int round = 0; round < 2; round++) {
      PMPI_Alltoall(words, 1, MPI_INT, words + size, 1, MPI_INT, MPI_COMM_WORLD);
      answer();
    }
  }
  free(words);
  return PMPI_Finalize();
}
