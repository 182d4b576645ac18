// Every flag of the server that names a file is among those that are looked at first.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { addServerCommand } from './server.ts';
import { checkServerFiles, type FileFlags } from './server-files.ts';

test('each flag that names a file is told when the file is not there', () => {
  const program = new Command();
  addServerCommand(program);
  const [server] = program.commands;
  assert.ok(server);
  // What is written, and what the store reads itself.
  const others = ['--audit-log-path', '--etcd-ca-cert-file', '--etcd-cert-file', '--etcd-key-file'];
  const options = server.options.filter(
    ({ flags, long }) => flags.endsWith('<file>') && !others.includes(long ?? ''),
  );
  assert.ok(options.length >= 11);
  const flags: FileFlags = Object.fromEntries(
    options.map((option) => [option.attributeName(), `/nonexistent/${option.attributeName()}`]),
  );
  assert.throws(
    () => checkServerFiles(flags),
    ({ message }: Error) => {
      for (const option of options) {
        const path = `"/nonexistent/${option.attributeName()}"`;
        assert.ok(message.includes(`cannot use ${option.long} ${path}: there is no such file; `));
      }
      return true;
    },
  );
  checkServerFiles({});
});
