// A process that removes pods' interfaces when it is told to, to be killed meanwhile.
import { VethDriver } from '#cni';
import { openNamespace } from '#linux';

const [path = '', ...names] = process.argv.slice(2);
const driver = new VethDriver({ namespace: openNamespace(path), mtu: () => 1500 });
process.once('message', () => {
  for (const hostName of names) void driver.remove({ hostName, netns: '', ifname: 'eth0' }, true);
});
process.send?.('ready');
