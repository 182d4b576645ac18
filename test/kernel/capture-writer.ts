// A process that writes a capture file for as long as it lives: it is there to be killed.
import { interfaceDescription, LINK_TYPE, packetBlock, RingFile, sectionHeader } from '#capture';

const [directory = ''] = process.argv.slice(2);
const on = { linkType: LINK_TYPE.ETHERNET, name: 'cali0', description: 'shop/web' };
const file = new RingFile({
  directory,
  stem: 'web_cali0',
  limits: { maxBytes: 200_000, rotationMs: 3_600_000, maxFiles: 2 },
  header: () => Buffer.concat([sectionHeader('tortie', 'Linux'), interfaceDescription(on)]),
  trailer: () => new Uint8Array(0),
});
for (let count = 0; ; count++) {
  const data = new Uint8Array(64 + (count % 900)).fill(count);
  const block = packetBlock(0, { timestampNs: BigInt(count), data, length: data.length });
  file.write([block], Date.now());
  if (count === 10) process.stdout.write('writing\n');
}
