/* Computes pi by integrating 4 / (1 + x * x) from 0 to 1 with the midpoint rule, the steps dealt out to the ranks in turn. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  long steps = argc > 1 ? atol(argv[1]) : 10000000;
  int rank, size, length;
  char node[MPI_MAX_PROCESSOR_NAME];
  double sum = 0, pi = 0;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Get_processor_name(node, &length);
  MPI_Barrier(MPI_COMM_WORLD);
  double begun = MPI_Wtime();
  for (long i = rank; i < steps; i += size) {
    double x = (i + 0.5) / steps;
    sum += 4 / (1 + x * x);
  }
  sum /= steps;
  MPI_Reduce(&sum, &pi, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
  double took = MPI_Wtime() - begun;
  printf("rank %d of %d on %s\n", rank, size, node);
  if (rank == 0) {
    printf("pi is %.12f, wrong by %.1e, in %.3f s\n", pi, fabs(pi - 3.14159265358979324), took);
    FILE *result = fopen("pi.txt", "w");
    if (result != NULL) {
      fprintf(result, "%.12f\n", pi);
      fclose(result);
    }
  }
  return MPI_Finalize();
}
