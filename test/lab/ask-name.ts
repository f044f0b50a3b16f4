// A program for lab hosts: asks everybody on the link for a name, and ends when somebody has answered.
//   node ask-name.js NAME
import multicastDns from 'multicast-dns';

const [name] = process.argv.slice(2) as [string];
const mdns = multicastDns();
mdns.on('response', ({ answers }) => {
  if (answers.some((record) => record.type === 'A' && record.name === name && record.ttl !== 0)) process.exit();
});
mdns.query(name, 'A');
