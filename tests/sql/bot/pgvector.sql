-- A stand-in for the extension pgvector where it is not installed: of what migrations and bot use the
-- type with its dimensions, the assignment of real[] and the cosine distance. Slow: made of texts.

create type vector;
create function vector_in(cstring) returns vector language internal immutable strict as 'textin';
create function vector_out(vector) returns cstring language internal immutable strict as 'textout';
create function vector_typmod_in(cstring[]) returns integer
language internal immutable strict as 'varchartypmodin';
create function vector_typmod_out(integer) returns cstring
language internal immutable strict as 'varchartypmodout';
create type vector (input = vector_in, output = vector_out, typmod_in = vector_typmod_in,
  typmod_out = vector_typmod_out, internallength = variable, storage = extended);
create function to_real(vector) returns real[] language plpgsql immutable as
  'begin return translate($1::text, ''[]'', ''{}'')::real[]; end';
create function to_vector(real[]) returns vector language plpgsql immutable as
  'begin return translate($1::text, ''{}'', ''[]'')::vector; end';
create cast (vector as text) with inout;
create cast (text as vector) with inout;
create cast (real[] as vector) with function to_vector(real[]) as assignment;
create cast (vector as real[]) with function to_real(vector) as implicit;
create function cosine_distance(vector, vector) returns double precision language sql immutable as
  'select 1 - sum(x * y) / (sqrt(sum(x * x)) * sqrt(sum(y * y)))
   from unnest(to_real($1), to_real($2)) u (x, y)';
create operator <=> (leftarg = vector, rightarg = vector, function = cosine_distance);
