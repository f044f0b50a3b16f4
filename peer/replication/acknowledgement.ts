// How safe a write is when its writer goes on. Either way it is on this machine's disk.

/** `replicated`: another living peer has it on its disk too. `local only`: nobody said so in time. */
export type Acknowledgement = 'replicated' | 'local only';
