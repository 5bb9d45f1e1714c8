// What Node.js itself can do on this machine: reads each body and answers as many bytes as the server does.
import { createServer } from 'node:http';

const answer = Buffer.alloc(Number(process.argv[2]));
const server = createServer((request, response) => {
  request.resume().on('end', () => response.end(answer));
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
process.on('disconnect', () => process.exit(0));
