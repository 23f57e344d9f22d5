// The answer the guest must give, computed the quick way. Not here: the slow way (the guest's backend).

/** The largest `n` whose Fibonacci number a JSON number holds exactly. */
export const LARGEST_N = 78;

/** F(0) = 0, F(1) = 1. */
export function fibonacci(n: number): number {
  if (!Number.isInteger(n) || n < 0 || n > LARGEST_N) throw new RangeError(`n is ${n}, wanted 0 to ${LARGEST_N}`);
  let [a, b] = [0, 1];
  for (let i = 0; i < n; i += 1) [a, b] = [b, a + b];
  return a;
}
