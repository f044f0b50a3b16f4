// Where this user's peer keeps its state, by the rules of the system (XDG on Linux).
import { resolve } from 'node:path';
import envPaths from 'env-paths';

export interface DataOptions {
  readonly data?: string;
}

export const dataFolder = ({ data }: DataOptions): string => (data ? resolve(data) : envPaths('spotify-peer', { suffix: '' }).data);
