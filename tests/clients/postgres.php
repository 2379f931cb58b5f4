<?php
// PHP's PDO through the SQL proxy in transaction mode: what an app does with it all day. DSN, USER_NAME, PASSWORD.
declare(strict_types=1);

function connect(bool $emulates = false): PDO {
    return new PDO(getenv('DSN'), getenv('USER_NAME'), getenv('PASSWORD'), [
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
        PDO::ATTR_EMULATE_PREPARES => $emulates,
        PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC,
    ]);
}

function same(mixed $wanted, mixed $got): void {
    if ($wanted !== $got) {
        throw new RuntimeException('expected ' . json_encode($wanted) . ', got ' . json_encode($got));
    }
}

function state_of(callable $work): string {
    try {
        $work();
    } catch (PDOException $error) {
        return (string) $error->getCode();
    }
    return 'no error';
}

$tests = [
    'a table is written and read' => function (): void {
        $db = connect();
        $db->exec('CREATE TABLE people_php (id serial PRIMARY KEY, name text UNIQUE, born date, data jsonb, raw bytea)');
        $insert = $db->prepare('INSERT INTO people_php (name, born, data, raw) VALUES (:name, :born, :data, :raw) RETURNING id');
        foreach (['Ada', 'Grace', 'Bárbara'] as $at => $name) {
            $raw = fopen('php://memory', 'r+');
            fwrite($raw, "\0\xff" . $name);
            rewind($raw);
            $insert->bindValue('name', $name);
            $insert->bindValue('born', null, PDO::PARAM_NULL);
            $insert->bindValue('data', json_encode(['name' => $name]));
            $insert->bindValue('raw', $raw, PDO::PARAM_LOB);
            $insert->execute();
            same($at + 1, $insert->fetchColumn());
        }
        same(['Ada', 'Grace', 'Bárbara'], $db->query('SELECT name FROM people_php ORDER BY id')->fetchAll(PDO::FETCH_COLUMN));
        same("\0\xffAda", stream_get_contents($db->query('SELECT raw FROM people_php WHERE id = 1')->fetchColumn()));
        same('3', $db->lastInsertId('people_php_id_seq'));
    },
    'prepared statements outlive the connection to the server' => function (): void {
        $clients = array_map(fn (): PDO => connect(), range(1, 6));
        $prepared = array_map(fn (PDO $db): PDOStatement => $db->prepare('SELECT ?::int + 1'), $clients);
        foreach (range(1, 20) as $turn) {
            foreach ($prepared as $at => $statement) {
                $statement->execute([$turn * 10 + $at]);
                same($turn * 10 + $at + 1, $statement->fetchColumn());
            }
        }
    },
    'emulated statements' => function (): void {
        $statement = connect(true)->prepare('SELECT :text::text');
        $statement->execute(['text' => "it's \\ ?"]);
        same("it's \\ ?", $statement->fetchColumn());
    },
    'a transaction is rolled back whole' => function (): void {
        $db = connect();
        $db->beginTransaction();
        $db->exec('DELETE FROM people_php');
        $db->exec('SAVEPOINT s');
        same('42P01', state_of(fn () => $db->query('SELECT * FROM nowhere')));
        $db->exec('ROLLBACK TO s');
        same(0, $db->query('SELECT count(*) FROM people_php')->fetchColumn());
        $db->rollBack();
        same(3, $db->query('SELECT count(*) FROM people_php')->fetchColumn());
    },
    'an error is the server\'s and the client goes on' => function (): void {
        $db = connect();
        same('42P01', state_of(fn () => $db->query('SELECT * FROM nowhere')));
        same('23505', state_of(fn () => $db->exec("INSERT INTO people_php (name) VALUES ('Ada')")));
        same('22P02', state_of(fn () => $db->prepare('SELECT ?::int')->execute(['seven'])));
        same(1, $db->query('SELECT 1')->fetchColumn());
    },
    'rows are copied in and out' => function (): void {
        $db = connect();
        $db->exec('CREATE TABLE copied_php (id int, name text)');
        $lines = array_map(fn (int $n): string => "$n\tname $n", range(1, 5000));
        same(true, $db->pgsqlCopyFromArray('copied_php', $lines));
        same(array_map(fn (string $line): string => "$line\n", $lines), $db->pgsqlCopyToArray('copied_php'));
        same(5000, $db->query('SELECT count(*) FROM copied_php')->fetchColumn());
    },
    'a cursor comes in parts' => function (): void {
        $db = connect();
        $db->beginTransaction();
        $db->exec('DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 50) AS n');
        $seen = [];
        while ($part = $db->query('FETCH 7 FROM c')->fetchAll(PDO::FETCH_COLUMN)) {
            $seen = [...$seen, ...$part];
        }
        $db->commit();
        same(range(1, 50), $seen);
    },
    'settings follow their client' => function (): void {
        [$one, $two] = [connect(), connect()];
        $one->exec("SET TIME ZONE 'Asia/Tokyo'");
        foreach (range(1, 5) as $turn) {
            same('Asia/Tokyo', $one->query('SHOW TimeZone')->fetchColumn());
            same(false, $two->query('SHOW TimeZone')->fetchColumn() === 'Asia/Tokyo');
        }
    },
    'a client that listens is told' => function (): void {
        [$listener, $teller] = [connect(), connect()];
        $listener->exec('LISTEN news_php');
        $teller->exec("NOTIFY news_php, 'hello'");
        $told = $listener->pgsqlGetNotify(PDO::FETCH_ASSOC, 5000);
        same(['news_php', 'hello'], [$told['message'], $told['payload']]);
    },
];

$failed = 0;
foreach ($tests as $name => $test) {
    try {
        $test();
        echo "ok $name\n";
    } catch (Throwable $error) {
        ++$failed;
        echo "FAILED $name: {$error->getMessage()} ({$error->getFile()}:{$error->getLine()})\n";
    }
}
exit($failed === 0 ? 0 : 1);
