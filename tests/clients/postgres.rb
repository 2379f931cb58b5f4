# Ruby's pg (libpq) through the SQL proxy in transaction mode: what an app does with it all day. URL.
require 'pg'

def connect
  PG.connect(ENV.fetch('URL'))
end

def same(wanted, got)
  raise "expected #{wanted.inspect}, got #{got.inspect}" unless wanted == got
end

def error_of
  yield
  'no error'
rescue PG::Error => error
  error.result ? error.result.error_field(PG::Result::PG_DIAG_SQLSTATE) : error.class.name
end

TESTS = {
  'a table is written and read' => lambda {
    db = connect
    db.type_map_for_results = PG::BasicTypeMapForResults.new(db)
    db.exec('CREATE TABLE people_ruby (id serial PRIMARY KEY, name text UNIQUE, data jsonb, raw bytea)')
    %w[Ada Grace Bárbara].each_with_index do |name, at|
      raw = { value: "\0\xff#{name}".b, type: 17, format: 1 }
      row = db.exec_params('INSERT INTO people_ruby (name, data, raw) VALUES ($1, $2, $3) RETURNING id', [name, "{\"name\": \"#{name}\"}", raw])
      same([[at + 1]], row.values)
    end
    same(%w[Ada Grace Bárbara], db.exec('SELECT name FROM people_ruby ORDER BY id').column_values(0))
    same(["\0\xffAda".b], db.exec_params('SELECT raw FROM people_ruby WHERE id = $1', [1], 1).column_values(0))
  },
  'prepared statements are known on every connection to the server' => lambda {
    clients = Array.new(6) { connect }
    clients.each_with_index { |db, at| db.prepare('plus', "SELECT $1::int + #{at}") }
    20.times do |turn|
      clients.each_with_index { |db, at| same((turn + at).to_s, db.exec_prepared('plus', [turn]).getvalue(0, 0)) }
    end
    same(1, clients[0].describe_prepared('plus').nparams)
    clients[0].exec('DEALLOCATE plus')
    same('26000', error_of { clients[0].exec_prepared('plus', [1]) })
    same('3', clients[1].exec_prepared('plus', [2]).getvalue(0, 0))
  },
  'a pipeline is answered in its order' => lambda {
    db = connect
    db.enter_pipeline_mode
    100.times { |n| db.send_query_params('SELECT $1::int', [n]) }
    db.send_query_params('SELECT 1 / $1::int', [0])
    db.pipeline_sync
    db.send_query_params('SELECT $1::int', [7])
    db.pipeline_sync
    seen = []
    syncs = 0
    while syncs < 2
      result = db.get_result or next
      case result.result_status
      when PG::PGRES_TUPLES_OK then seen << result.getvalue(0, 0).to_i
      when PG::PGRES_FATAL_ERROR then seen << result.error_field(PG::Result::PG_DIAG_SQLSTATE)
      when PG::PGRES_PIPELINE_SYNC then syncs += 1
      end
    end
    db.exit_pipeline_mode
    same([*0...100, '22012', 7], seen)
  },
  'a transaction is rolled back whole' => lambda {
    db = connect
    same('the block', begin
      db.transaction do
        db.exec('DELETE FROM people_ruby')
        raise 'the block'
      end
    rescue RuntimeError => error
      error.message
    end)
    same('3', db.exec('SELECT count(*) FROM people_ruby').getvalue(0, 0))
  },
  'an error is the server\'s and the client goes on' => lambda {
    db = connect
    same('42P01', error_of { db.exec('SELECT * FROM nowhere') })
    same('23505', error_of { db.exec_params('INSERT INTO people_ruby (name) VALUES ($1)', ['Ada']) })
    same('22P02', error_of { db.exec_params('SELECT $1::int', ['seven']) })
    same('1', db.exec('SELECT 1').getvalue(0, 0))
  },
  'rows are copied in and out, and a failed copy leaves none' => lambda {
    db = connect
    db.exec('CREATE TABLE copied_ruby (id int, name text)')
    db.copy_data('COPY copied_ruby FROM STDIN') { 5000.times { |n| db.put_copy_data("#{n}\tname #{n}\n") } }
    same('22P02', error_of { db.copy_data('COPY copied_ruby FROM STDIN') { db.put_copy_data("x\ty\n") } })
    lines = []
    db.copy_data('COPY copied_ruby TO STDOUT') { while (line = db.get_copy_data) do lines << line end }
    same(5000, lines.size)
    same("4999\tname 4999\n", lines.last)
  },
  'rows come one by one, and a query is cancelled' => lambda {
    db = connect
    db.send_query('SELECT generate_series(1, 1000)')
    db.set_single_row_mode
    seen = 0
    db.get_result.stream_each { seen += 1 }
    same(nil, db.get_result)
    same(1000, seen)
    db.send_query('SELECT pg_sleep(30)')
    db.cancel until db.block(0.2) # one that comes before the query has begun is for nothing
    same('57014', error_of { db.get_last_result })
    same('1', db.exec('SELECT 1').getvalue(0, 0))
  },
  'settings follow their client' => lambda {
    one, two = connect, connect
    one.exec("SET search_path = pg_catalog; SET application_name = 'ruby'")
    5.times do
      same('ruby', one.exec('SHOW application_name').getvalue(0, 0))
      same(false, two.exec('SHOW application_name').getvalue(0, 0) == 'ruby')
    end
  },
  'a client that listens is told' => lambda {
    listener, teller = connect, connect
    listener.exec('LISTEN news_ruby')
    teller.exec_params('SELECT pg_notify($1, $2)', %w[news_ruby hello])
    told = nil
    listener.wait_for_notify(5) { |channel, _pid, payload| told = [channel, payload] }
    same(%w[news_ruby hello], told)
  }
}.freeze

failed = 0
TESTS.each do |name, test|
  test.call
  puts "ok #{name}"
rescue StandardError => error
  failed += 1
  puts "FAILED #{name}: #{error.message} (#{error.backtrace&.first})"
end
exit(failed.zero? ? 0 : 1)
