// Closing things in turn: one that fails must not leave the others open.

/** Runs every step, in order, whatever becomes of those before it; then throws the first error, if there was one. */
export async function eachStep(steps: readonly (() => unknown)[]): Promise<void> {
  const errors: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
