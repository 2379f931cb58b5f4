// Reads OTLP/JSON bodies (a JSON array on standard input) as OpenTelemetry's own protobuf classes do: node otlp.cjs traces|metrics
// Prints them as those classes give them back after a passage through protobuf's bytes; ends with an error at a member that is unknown or of a wrong type.
// The one exception that OTLP makes from protobuf's JSON mapping is done here by hand: ids are hexadecimal.
const root = require(process.cwd() + '/node_modules/@opentelemetry/otlp-transformer/build/src/generated/root.js');
const [signal] = process.argv.slice(2);
const { trace, metrics } = root.opentelemetry.proto.collector;
const Type = signal === 'traces' ? trace.v1.ExportTraceServiceRequest : metrics.v1.ExportMetricsServiceRequest;
const sizes = { traceId: 32, spanId: 16, parentSpanId: 16 };

function withBase64(value) {
  if (Array.isArray(value)) return value.map(withBase64);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => {
    if (!(name in sizes)) return [name, withBase64(member)];
    if (!new RegExp(`^[0-9a-f]{${sizes[name]}}$`).test(member) || /^0+$/.test(member)) throw new Error(`${name} is ${member}`);
    return [name, Buffer.from(member, 'hex').toString('base64')];
  }));
}

function check(sent, got, path) {
  if (sent === null || typeof sent !== 'object') return;
  for (const [name, member] of Object.entries(sent)) {
    if (got === null || typeof got !== 'object' || !(name in got)) throw new Error(`${path}/${name}: there is no such member`);
    check(member, got[name], `${path}/${name}`);
  }
}

const bodies = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const read = bodies.map((body) => {
  const message = Type.fromObject(withBase64(body));
  const wrong = Type.verify(message);
  if (wrong) throw new Error(wrong);
  const back = Type.toObject(Type.decode(Type.encode(message).finish()), { longs: String, bytes: (bytes) => Buffer.from(bytes).toString('hex'), defaults: true, arrays: true });
  check(body, back, '');
  return back;
});
for (const body of read) {
  (function hex(value) {
    if (value === null || typeof value !== 'object') return;
    for (const name of Object.keys(value)) {
      if (name in sizes) value[name] = Buffer.from(value[name]).toString('hex');
      else hex(value[name]);
    }
  })(body);
}
process.stdout.write(JSON.stringify(read));
