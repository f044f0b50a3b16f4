// The process that hunt.ts starts inside a broken copy of the build: everything it imports is the copy's.
import { campaign, explainFailure } from './campaign.ts';
import type { Catch, HuntOrder } from './hunt.ts';
import { SUBJECTS } from './subjects.ts';

function work({ subject, first, seeds, family, scenario, explain }: HuntOrder): Catch | null {
  const failure = campaign({
    repertoires: [SUBJECTS[subject]],
    seeds: Array.from({ length: seeds }, (_, i) => first + i),
    ...(family !== null && { family }),
    ...(scenario !== null && { scenario }),
  });
  if (failure === null) return null;
  const { seed, violation } = failure;
  return { seed, violation, explanation: explain === null ? null : explainFailure(failure, explain) };
}

// it ends when its parent lets go of it, so that the verdict has surely been heard
process.on('message', (order: HuntOrder) => process.send?.(work(order)));
