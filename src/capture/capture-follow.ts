// Follows the files of a capture as they are written: what is new, in order, across files that are set aside.
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { measurePcapng } from '#lib';
import { captureFiles } from './capture-folder.ts';
import { CAPTURE_ENDING, oldFiles } from './ring-file.ts';

/** New bytes of one file; `file` is the name that all files of one interface share. */
export interface FollowedPiece {
  readonly file: string;
  readonly bytes: Uint8Array;
}

interface Followed {
  readonly fd: number;
  readonly inode: number;
  at: number;
}

const PIECE_BYTES = 1024 * 1024;

/** Who reads too slowly for the ring of files ends here: packets would be missing, and nobody would know. */
export class FollowerTooSlow extends Error {
  constructor(stem: string) {
    super(`files of ${stem} were replaced or removed before they were followed`);
  }
}

export class CaptureFollower {
  readonly #directory: string;
  readonly #followed = new Map<string, Followed>();
  /** From the newest packet on, of files that are there now. */
  #fromNow: boolean;

  /** `all`: also what is in the files already. */
  constructor(directory: string, { all }: { readonly all: boolean }) {
    this.#directory = directory;
    this.#fromNow = !all;
  }

  /** Some of what is new; nothing where there is nothing. Throws FollowerTooSlow. */
  read(): FollowedPiece[] {
    const pieces: FollowedPiece[] = [];
    for (const stem of this.#stems()) {
      const piece = this.#readNext(stem);
      if (piece) pieces.push({ file: stem + CAPTURE_ENDING, bytes: piece });
    }
    this.#fromNow = false;
    return pieces;
  }

  close(): void {
    for (const { fd } of this.#followed.values()) closeSync(fd);
    this.#followed.clear();
  }

  #stems(): Set<string> {
    const stems = captureFiles(this.#directory).map((name) =>
      name.slice(0, -CAPTURE_ENDING.length).replace(/-\d{8}T\d{9}Z(-\d{6})?$/, ''),
    );
    return new Set([...stems, ...this.#followed.keys()]);
  }

  #readNext(stem: string): Uint8Array | undefined {
    let followed = this.#followed.get(stem);
    if (!followed) {
      const [oldest] = this.#pathsOf(stem);
      const newest = this.#pathsOf(stem).at(-1);
      followed = this.#open(stem, this.#fromNow ? newest : oldest);
      if (followed && this.#fromNow) return passOver(followed);
    }
    while (followed) {
      const { bytes } = readBlocks(followed);
      if (bytes.length > 0) return bytes;
      followed = this.#advance(stem, followed);
    }
    return undefined;
  }

  /** The file after this one, which has been read to its end; undefined while it is the newest. */
  #advance(stem: string, followed: Followed): Followed | undefined {
    const paths = this.#pathsOf(stem);
    const place = paths.findIndex((path) => inodeOf(path) === followed.inode);
    if (place < 0 && paths.length > 0) throw new FollowerTooSlow(stem);
    const next = paths[place + 1];
    if (place < 0 || next === undefined) return undefined;
    // It may have got its last blocks since it was read.
    const rest = fstatSync(followed.fd).size > followed.at;
    if (rest) return followed;
    closeSync(followed.fd);
    this.#followed.delete(stem);
    return this.#open(stem, next);
  }

  #open(stem: string, path: string | undefined): Followed | undefined {
    if (path === undefined) return undefined;
    try {
      const fd = openSync(path, 'r');
      const followed = { fd, inode: fstatSync(fd).ino, at: 0 };
      this.#followed.set(stem, followed);
      return followed;
    } catch (error) {
      // Just then it was set aside.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  #pathsOf(stem: string): string[] {
    const all = captureFiles(this.#directory);
    if (all.length === 0) return [];
    const current = stem + CAPTURE_ENDING;
    const names = [...oldFiles(this.#directory, stem), ...all.filter((name) => name === current)];
    return names.map((name) => join(this.#directory, name));
  }
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** The next whole blocks: who writes may be in the middle of one. */
function readBlocks(followed: Followed): { bytes: Uint8Array; head: number } {
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  const length = readSync(followed.fd, piece, 0, piece.length, followed.at);
  const { whole, head } = measurePcapng(piece.subarray(0, length));
  followed.at += whole;
  return { bytes: piece.subarray(0, whole), head };
}

/** What describes the interface; the packets so far are passed over. */
function passOver(followed: Followed): Uint8Array {
  const { bytes, head } = readBlocks(followed);
  while (readBlocks(followed).bytes.length > 0);
  return bytes.subarray(0, head);
}
