#include "headroom/sql/parse_tree.h"

#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <string>

#include "headroom/base/hash.h"
#include "headroom/sql/lexer.h"

// The library's variables are one a thread, which PostgreSQL's headers do not know; they redefine printf and its kin, so they come last.
#define PGDLLIMPORT __thread
extern "C" {
#include <pg_query.h>
// clang-format off: its own headers need this one first
#include <postgres.h>
// clang-format on
#include <catalog/pg_class.h>
#include <nodes/nodeFuncs.h>
#include <nodes/parsenodes.h>
#include <utils/elog.h>

typedef struct {
  List* tree;
  char* stderr_buffer;
  PgQueryError* error;
} PgQueryInternalParsetreeAndError;
PgQueryInternalParsetreeAndError pg_query_raw_parse(const char* input);
void pg_query_free_error(PgQueryError* error);
MemoryContext pg_query_enter_memory_context();
void pg_query_exit_memory_context(MemoryContext context);
}

namespace headroom::sql {
namespace {

constexpr std::size_t kMostNames = 1000;          // of one kind in one text
constexpr std::size_t kMostCompared = 1'000'000;  // names with names: a few milliseconds

// Frames of the walk hold nothing that needs to be destroyed: an error of the library jumps over them.
struct Walk {
  Decision& decision;
  std::vector<const char*> with{};  // names that WITH clauses in force have brought
  std::size_t depth = 0;
  std::size_t compared = 0;
  bool too_much = false;
};

void raise_to(Decision& decision, Class at_least) {
  decision.its_class = std::max(decision.its_class, at_least);
}

void add(Walk& walk, std::vector<ObjectName>& names, const char* schema, const char* name) {
  if (name == nullptr || walk.too_much) return;
  const std::string_view its_schema = schema == nullptr ? "" : schema;
  for (const ObjectName& known : names) {
    if (known.name == name && known.schema == its_schema) return;
    if (++walk.compared > kMostCompared) walk.too_much = true;
    if (walk.too_much) return;
  }
  if (names.size() >= kMostNames)
    walk.too_much = true;
  else
    names.push_back({std::string(its_schema), name});
}

bool is_system(const char* schema) {
  return schema == nullptr || std::string_view(schema) == "pg_catalog";
}

// Views of what one server does, another one's answer to which is wrong.
bool is_local(const RangeVar* table) {
  const std::string_view name = table->relname;
  if (table->schemaname != nullptr && std::string_view(table->schemaname).starts_with("pg_temp"))
    return true;
  if (!is_system(table->schemaname) || !name.starts_with("pg_")) return false;
  for (const std::string_view begin :
       {"pg_stat", "pg_locks", "pg_sequences", "pg_cursors", "pg_prepared_", "pg_replication_",
        "pg_settings", "pg_file_settings", "pg_hba_file", "pg_ident_file", "pg_shmem_",
        "pg_backend_memory"}) {
    if (name.starts_with(begin)) return true;
  }
  return false;
}

bool brought_by_with(const Walk& walk, const RangeVar* table) {
  if (table->schemaname != nullptr) return false;
  for (const char* name : walk.with) {
    if (std::string_view(name) == table->relname) return true;
  }
  return false;
}

void reads(Walk& walk, const RangeVar* table) {
  if (table == nullptr || brought_by_with(walk, table)) return;
  add(walk, walk.decision.reads, table->schemaname, table->relname);
  if (is_local(table)) walk.decision.local_state = true;
}

// A target is a table even where a WITH clause has a name like it.
void writes(Walk& walk, const RangeVar* table) {
  raise_to(walk.decision, Class::write);
  if (table != nullptr) add(walk, walk.decision.writes, table->schemaname, table->relname);
}

// Where it is not written there which setting is asked for, it may be one of a server's own.
bool asks_for_server_state(const FuncCall* call) {
  if (call->args == NIL) return false;
  const auto* name = static_cast<const Node*>(list_nth(call->args, 0));
  if (IsA(name, TypeCast)) name = reinterpret_cast<const TypeCast*>(name)->arg;
  if (!IsA(name, A_Const)) return true;
  const auto* constant = reinterpret_cast<const A_Const*>(name);
  return !constant->isnull && IsA(&constant->val, String) &&
         names_server_state(strVal(&constant->val));
}

void calls(Walk& walk, const FuncCall* call) {
  const List* name = call->funcname;
  const int parts = list_length(name);
  if (parts == 0) return;
  const char* last = strVal(list_nth(name, parts - 1));
  if (std::string_view(last) == "current_setting" && asks_for_server_state(call))
    walk.decision.local_state = true;
  add(walk, walk.decision.functions, parts > 1 ? strVal(list_nth(name, parts - 2)) : nullptr, last);
}

// An operator, or a type that is cast to: those that PostgreSQL's grammar itself makes of its keywords are in pg_catalog.
void applies(Walk& walk, const List* name) {
  const int parts = list_length(name);
  if (parts == 0) return;
  const char* schema = parts > 1 ? strVal(list_nth(name, parts - 2)) : nullptr;
  if (schema == nullptr || std::string_view(schema) != "pg_catalog")
    add(walk, walk.decision.applies, schema, strVal(list_nth(name, parts - 1)));
}

// A function of one row may be written as its column.
void takes_field(Walk& walk, const Node* name) {
  if (!IsA(name, String) || walk.too_much) return;
  const std::uint64_t hash = hash64(strVal(name));
  for (const std::uint64_t known : walk.decision.fields) {
    if (known == hash) return;
    if (++walk.compared > kMostCompared) walk.too_much = true;
  }
  walk.decision.fields.push_back(hash);
}
void takes_fields(Walk& walk, const List* names, int first) {
  for (int i = first; i < list_length(names); ++i)
    takes_field(walk, static_cast<const Node*>(list_nth(names, i)));
}

bool visit(Node* node, void* context);
bool descend(Walk& walk, Node* node) {
  return raw_expression_tree_walker(
      node, reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(visit)), &walk);
}

// Each query of a WITH clause sees those before it; with RECURSIVE all of them.
bool enter_with(Walk& walk, const WithClause* clause) {
  if (clause == nullptr) return false;
  const auto name_of_each = [&](int i) {
    return static_cast<CommonTableExpr*>(list_nth(clause->ctes, i));
  };
  const int count = list_length(clause->ctes);
  for (int i = 0; clause->recursive && i < count; ++i)
    walk.with.push_back(name_of_each(i)->ctename);
  for (int i = 0; i < count; ++i) {
    const bool wrote = walk.decision.its_class >= Class::write;
    Node* query = name_of_each(i)->ctequery;
    if (!IsA(query, SelectStmt)) walk.decision.writes_in_with = true;
    if (visit(query, &walk)) return true;
    walk.decision.writes_in_with =
        walk.decision.writes_in_with || (!wrote && walk.decision.its_class >= Class::write);
    if (!clause->recursive) walk.with.push_back(name_of_each(i)->ctename);
  }
  return false;
}

void goes_into(Walk& walk, const IntoClause* into) {
  walk.decision.into = true;
  if (into->rel == nullptr) return;
  if (into->rel->relpersistence == RELPERSISTENCE_TEMP) walk.decision.temporary = true;
  writes(walk, into->rel);
  raise_to(walk.decision, Class::schema);
}

bool visit_select(Walk& walk, SelectStmt* select) {
  const std::size_t in_force = walk.with.size();
  if (select->lockingClause != NIL) walk.decision.locks_rows = true;
  if (select->intoClause != nullptr) goes_into(walk, select->intoClause);
  const bool stop = enter_with(walk, select->withClause);
  select->lockingClause = NIL;  // its names are aliases
  select->intoClause = nullptr;
  select->withClause = nullptr;
  if (stop || descend(walk, reinterpret_cast<Node*>(select))) return true;
  walk.with.resize(in_force);
  return false;
}

// INSERT, UPDATE, DELETE, MERGE.
template <class Statement>
bool visit_change(Walk& walk, Statement* change) {
  const std::size_t in_force = walk.with.size();
  writes(walk, change->relation);
  const bool stop = enter_with(walk, change->withClause);
  change->relation = nullptr;
  change->withClause = nullptr;
  if (stop || descend(walk, reinterpret_cast<Node*>(change))) return true;
  walk.with.resize(in_force);
  return false;
}

void visit_constant(Walk& walk, A_Const* constant);

bool visit_one(Walk& walk, Node* node) {
  switch (nodeTag(node)) {
    case T_SelectStmt: return visit_select(walk, reinterpret_cast<SelectStmt*>(node));
    case T_InsertStmt: return visit_change(walk, reinterpret_cast<InsertStmt*>(node));
    case T_UpdateStmt: return visit_change(walk, reinterpret_cast<UpdateStmt*>(node));
    case T_DeleteStmt: return visit_change(walk, reinterpret_cast<DeleteStmt*>(node));
    case T_MergeStmt: return visit_change(walk, reinterpret_cast<MergeStmt*>(node));
    case T_RangeVar: reads(walk, reinterpret_cast<RangeVar*>(node)); return false;
    case T_RangeTableSample: walk.decision.samples = true; break;
    case T_FuncCall: calls(walk, reinterpret_cast<FuncCall*>(node)); break;
    case T_ColumnRef: takes_fields(walk, reinterpret_cast<ColumnRef*>(node)->fields, 1); break;
    case T_A_Indirection:
      takes_fields(walk, reinterpret_cast<A_Indirection*>(node)->indirection, 0);
      break;
    case T_A_Expr: applies(walk, reinterpret_cast<A_Expr*>(node)->name); break;
    case T_TypeCast: {
      const TypeName* type = reinterpret_cast<TypeCast*>(node)->typeName;
      if (type != nullptr) applies(walk, type->names);
      break;
    }
    case T_SortBy: applies(walk, reinterpret_cast<SortBy*>(node)->useOp); break;
    case T_SubLink: applies(walk, reinterpret_cast<SubLink*>(node)->operName); break;
    case T_CurrentOfExpr: walk.decision.local_state = true; break;
    case T_SQLValueFunction:
      if (reinterpret_cast<SQLValueFunction*>(node)->op < SVFOP_CURRENT_ROLE)
        walk.decision.clock = true;
      else
        walk.decision.identity = true;
      break;
    case T_A_Const: visit_constant(walk, reinterpret_cast<A_Const*>(node)); return false;
    default: break;
  }
  return descend(walk, node);
}

// True ends the walk.
bool visit(Node* node, void* context) {
  if (node == nullptr) return false;
  Walk& walk = *static_cast<Walk*>(context);
  if (walk.depth >= Classifier::kDeepest) walk.too_much = true;
  if (walk.too_much) return true;
  ++walk.depth;
  const bool stop = visit_one(walk, node);
  --walk.depth;
  return stop;
}

void visit_constant(Walk& walk, A_Const* constant) {
  if (!constant->isnull && IsA(&constant->val, String) && means_now(strVal(&constant->val)))
    walk.decision.clock = true;
}

void visit_transaction(Walk& walk, const TransactionStmt* statement) {
  raise_to(walk.decision, Class::transaction);
  switch (statement->kind) {
    case TRANS_STMT_BEGIN:
    case TRANS_STMT_START: walk.decision.begins = true; break;
    case TRANS_STMT_COMMIT:
    case TRANS_STMT_ROLLBACK:
    case TRANS_STMT_PREPARE:
    case TRANS_STMT_COMMIT_PREPARED:
    case TRANS_STMT_ROLLBACK_PREPARED: walk.decision.ends = true; break;
    default: break;
  }
}

void visit_copy(Walk& walk, CopyStmt* copy) {
  walk.decision.copies = true;
  if (copy->filename != nullptr || copy->is_program) raise_to(walk.decision, Class::opaque);
  if (copy->is_from)
    writes(walk, copy->relation);
  else
    reads(walk, copy->relation);
  (void)visit(copy->query, &walk);
  if (copy->whereClause != nullptr) (void)visit(copy->whereClause, &walk);
}

void visit_statement(Walk& walk, Node* node);

void visit_explain(Walk& walk, const ExplainStmt* explain) {
  walk.decision.explains = true;
  bool runs = false;
  for (int i = 0; i < list_length(explain->options); ++i)
    runs = runs || std::string_view(
                       static_cast<DefElem*>(list_nth(explain->options, i))->defname) == "analyze";
  const Class before = walk.decision.its_class;
  visit_statement(walk, explain->query);
  if (runs) return;
  walk.decision.its_class = std::max(before, Class::session);
  walk.decision.writes.clear();
}

void visit_truncate(Walk& walk, const TruncateStmt* truncate) {
  for (int i = 0; i < list_length(truncate->relations); ++i)
    writes(walk, static_cast<RangeVar*>(list_nth(truncate->relations, i)));
}

void session_only(Walk& walk) {
  raise_to(walk.decision, Class::session);
  walk.decision.local_state = true;
}

void visit_statement(Walk& walk, Node* node) {
  switch (nodeTag(node)) {
    case T_SelectStmt:
    case T_InsertStmt:
    case T_UpdateStmt:
    case T_DeleteStmt:
    case T_MergeStmt: (void)visit(node, &walk); return;
    case T_TransactionStmt:
      return visit_transaction(walk, reinterpret_cast<TransactionStmt*>(node));
    case T_CopyStmt: return visit_copy(walk, reinterpret_cast<CopyStmt*>(node));
    case T_ExplainStmt: return visit_explain(walk, reinterpret_cast<ExplainStmt*>(node));
    case T_TruncateStmt: return visit_truncate(walk, reinterpret_cast<TruncateStmt*>(node));
    case T_DeclareCursorStmt:
      session_only(walk);
      (void)visit(reinterpret_cast<DeclareCursorStmt*>(node)->query, &walk);
      return;
    case T_PrepareStmt: return session_only(walk);  // what it does, EXECUTE does
    case T_VariableSetStmt:
    case T_VariableShowStmt:
    case T_ConstraintsSetStmt:
    case T_DeallocateStmt:
    case T_DiscardStmt:
    case T_ListenStmt:
    case T_UnlistenStmt:
    case T_NotifyStmt:
    case T_LockStmt:
    case T_FetchStmt:
    case T_ClosePortalStmt:
    case T_CheckPointStmt:
    case T_LoadStmt: return session_only(walk);
    case T_CreateTableAsStmt: {
      auto* create = reinterpret_cast<CreateTableAsStmt*>(node);
      raise_to(walk.decision, Class::schema);
      if (create->into != nullptr) goes_into(walk, create->into);
      visit_statement(walk, create->query);
      return;
    }
    case T_RefreshMatViewStmt:
      raise_to(walk.decision, Class::schema);
      writes(walk, reinterpret_cast<RefreshMatViewStmt*>(node)->relation);
      return;
    case T_CreateStmt:
      raise_to(walk.decision, Class::schema);
      if (reinterpret_cast<CreateStmt*>(node)->relation->relpersistence == RELPERSISTENCE_TEMP)
        walk.decision.temporary = true;
      return;
    case T_DoStmt:
    case T_CallStmt:
    case T_ExecuteStmt: raise_to(walk.decision, Class::opaque); return;
    default: raise_to(walk.decision, Class::schema); return;
  }
}

void visit_all(Walk& walk, List* tree) {
  for (int i = 0; i < list_length(tree); ++i) {
    ++walk.decision.statements;
    walk.with.clear();
    visit_statement(walk, reinterpret_cast<Node*>(static_cast<RawStmt*>(list_nth(tree, i))->stmt));
  }
}

// False: the library raised an error.
bool guarded(Walk& walk, List* tree) {
  sigjmp_buf* const outer = PG_exception_stack;
  ErrorContextCallback* const callbacks = error_context_stack;
  sigjmp_buf here;
  volatile bool done = false;
  if (sigsetjmp(here, 0) == 0) {
    PG_exception_stack = &here;
    visit_all(walk, tree);
    done = true;
  }
  PG_exception_stack = outer;
  error_context_stack = callbacks;
  if (!done) FlushErrorState();
  return done;
}

}  // namespace

Decision read_tree(std::string_view text) {
  const std::string terminated(text);
  Decision decision;
  Walk walk{.decision = decision};
  MemoryContext context = pg_query_enter_memory_context();
  const PgQueryInternalParsetreeAndError parsed = pg_query_raw_parse(terminated.c_str());
  const bool understood = parsed.error == nullptr && guarded(walk, parsed.tree) && !walk.too_much;
  std::free(parsed.stderr_buffer);
  if (parsed.error != nullptr) pg_query_free_error(parsed.error);
  pg_query_exit_memory_context(context);
  if (!understood) return {.its_class = Class::opaque, .statements = 1};
  return decision;
}

}  // namespace headroom::sql
