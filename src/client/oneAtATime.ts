/**
 * Work that looks at something which changes meanwhile: only one at a time, and whoever asks while it is at work has it look
 * once more at its end. Knows nothing of what is looked at.
 */

/** @returns a function that settles once a look that began after it was called is over; rejects as `work` does */
export function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let working: Promise<void> | null = null;
  let again = false;
  const repeat = async (): Promise<void> => {
    try {
      while (again) {
        again = false;
        await work();
      }
    } finally {
      working = null; // at once: a call that came later would wait for this one, which looks no more
    }
  };
  return async () => {
    again = true;
    working ??= Promise.resolve().then(repeat);
    await working;
  };
}
