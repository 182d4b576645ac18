// `tortie ipam`: addresses, blocks and their owners, with calicoctl's commands and flags.
import type { Command } from 'commander';
import type { ApiClient } from '#datastore/client';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { type CheckFlags, checkAddresses } from './ipam-check.ts';
import { type ConfigureFlags, configureAddresses } from './ipam-configure.ts';
import { type ReleaseFlags, releaseAddresses } from './ipam-release.ts';
import { type ShowFlags, showAddresses } from './ipam-show.ts';
import { splitPool, type SplitFlags } from './ipam-split.ts';
import type { ProgramPlace } from './program.ts';
import type { Terminal } from './terminal.ts';

export function addIpamCommands(program: Command, terminal: Terminal, place: ProgramPlace): void {
  const { version } = place;
  const ipam = program
    .command('ipam')
    .summary('show, check, release and configure addresses')
    .description('Shows and changes how addresses are handed out, as calicoctl ipam does.');
  const withClient = async <F extends ClusterFlags>(
    flags: F,
    work: (client: ApiClient, flags: F) => Promise<void>,
  ): Promise<void> => {
    const client = connect(flags, terminal);
    try {
      await work(client, flags);
    } finally {
      await client.close();
    }
  };
  const add = <F extends ClusterFlags>(
    command: Command,
    work: (client: ApiClient, flags: F) => Promise<void>,
  ): void => {
    withClusterFlags(command).action((flags: F) => withClient(flags, work));
  };

  add<ShowFlags>(
    ipam
      .command('show')
      .summary('how full pools and blocks are, or whose an address is')
      .option('--ip <address>', 'whose this address is')
      .option('--show-blocks', 'the blocks of each pool too')
      .option('--show-borrowed', 'addresses in use away from the node that has their block')
      .option('--show-configuration', 'how addresses are handed out'),
    (client, flags) => showAddresses(client, flags, terminal),
  );
  add<CheckFlags>(
    ipam
      .command('check')
      .summary('compare what is allocated with who there is')
      .description(
        'Compares what is allocated with who there is, and says the reason of each difference. ' +
          'With --fix, what is still wrong at a second look is mended.',
      )
      .option('--show-all-ips', 'print all addresses that are checked')
      .option('--show-problem-ips', 'print all addresses that are leaked or not allocated')
      .option('-o, --output <file>', 'write a report, for "ipam release --from-report"')
      .option('--fix', 'mend what two looks find wrong')
      .option('--dry-run', 'with --fix: say what would be mended, and mend nothing')
      .option('--grace <seconds>', 'with --fix: time between the two looks', '10'),
    (client, flags) => checkAddresses(client, { flags, version }, terminal),
  );
  add<ReleaseFlags>(
    ipam
      .command('release')
      .summary('free an address, or all that reports call leaked')
      .description(
        'Frees an address. Whoever still uses it is not told: free only what nobody uses.',
      )
      .option('--ip <address>', 'the address')
      .option('--from-report <file>', 'all that is leaked by every report; repeatable', append)
      .option('--force', 'also if the datastore is not locked, or another version made the report'),
    (client, flags) => releaseAddresses(client, { flags, version }, terminal),
  );
  withClusterFlags(
    ipam
      .command('split <number>')
      .summary('make several smaller pools of one')
      .description('Makes several pools of equal size of one; the number must be a power of two.')
      .option('--cidr <cidr>', "the pool's prefix")
      .option('--name <name>', "the pool's name"),
  ).action((number: string, flags: SplitFlags) =>
    withClient(flags, (client) => splitPool(client, number, flags, terminal)),
  );
  add<ConfigureFlags>(
    ipam
      .command('configure')
      .summary('change how addresses are handed out')
      .option('--strictaffinity <bool>', 'true: a node uses addresses of its own blocks alone')
      .option('--max-blocks-per-host <number>', 'blocks that a node may have; 0 is the default')
      .option('--kubevirt-ip-persistence <mode>', 'Enabled|Disabled: virtual machines keep theirs')
      .option('--ip-cooldown-seconds <number>', 'how long a released address rests, 0 to 1200'),
    (client, flags) => configureAddresses(client, flags, terminal),
  );
}

function append(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
