// What people made and do in one network: the merged views, and the commands that write. One for each session.
import type { Catalog } from '../../storage/catalog.ts';
import type { OperationStore } from '../../storage/operation-store.ts';
import { UserData } from '../../storage/views/user-data.ts';
import { Listening } from './listening.ts';
import { Marks } from './marks.ts';
import { Playlists } from './playlists.ts';
import { Writer, type WriterOptions } from './writer.ts';

export interface PeopleOptions extends Pick<WriterOptions, 'write' | 'lamport' | 'wall'> {
  readonly store: Pick<OperationStore, 'registers'>;
  readonly catalog: Pick<Catalog, 'song'>;
  readonly onError: (error: unknown) => void;
  readonly onChange: () => void;
}

export class People {
  readonly data: UserData;
  readonly playlists: Playlists;
  readonly marks: Marks;
  readonly listening: Listening;

  constructor({ store, catalog, write, lamport, wall, onError, onChange }: PeopleOptions) {
    this.data = new UserData({ store, onError, onChange });
    const writer = new Writer({ data: this.data, write, lamport, wall, knowsSong: async (song) => (await catalog.song(song)) !== undefined });
    this.playlists = new Playlists(writer);
    this.marks = new Marks(writer);
    this.listening = new Listening(writer);
  }
}
