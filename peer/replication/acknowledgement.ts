/** What a user's write is worth when it is reported done: it is on the disk of one more living peer, or on this disk alone. */
export type Acknowledgement = 'replicated' | 'local only';
