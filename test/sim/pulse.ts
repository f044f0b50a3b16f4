// What a beat says of one who takes no part in coordination.
import type { Pulse } from '../../lib/coordination-messages.ts';
import type { Offer } from '../../lib/messages.ts';

export const NO_PULSE: Pulse = { number: 1, coordinator: null, term: 0, ageMs: 0, rank: 0, lone: false, asks: false, claims: [], renewals: [] };
export const NO_OFFER: Offer = { roles: [], load: 0, stability: 0 };
