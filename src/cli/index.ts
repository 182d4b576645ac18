// The door of cli: the command line.
export { addEtcdFlags, hasEtcdFlag } from './etcd-flags.ts';
export { type ProgramPlace, createProgram, runProgram } from './program.ts';
export { processTerminal, type Terminal } from './terminal.ts';
